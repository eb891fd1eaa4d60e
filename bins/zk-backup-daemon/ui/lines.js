// The lines in which two texts differ.

import { h } from './dom.js';
import { visible } from './format.js';

// Lines around what differs, and the most pairs of lines that are compared.
const AROUND = 3;
const MOST = 4_000_000;

/** Steps from one text to the other: [' ' | '-' | '+', line]. */
export function steps(before, after) {
  const old = before.split('\n');
  const now = after.split('\n');
  let head = 0;
  while (head < old.length && head < now.length && old[head] === now[head]) head += 1;
  let tail = 0;
  while (tail < Math.min(old.length, now.length) - head && old.at(-1 - tail) === now.at(-1 - tail)) tail += 1;
  const same = (line) => [' ', line];
  return [
    ...old.slice(0, head).map(same),
    ...middle(old.slice(head, old.length - tail), now.slice(head, now.length - tail)),
    ...old.slice(old.length - tail).map(same),
  ];
}

// By the longest run of lines that both have, in order; without it where that would take too long.
function middle(old, now) {
  const replaced = () => [...old.map((line) => ['-', line]), ...now.map((line) => ['+', line])];
  if (old.length * now.length > MOST) return replaced();
  const width = now.length + 1;
  const common = new Uint32Array((old.length + 1) * width);
  for (let i = old.length - 1; i >= 0; i -= 1) {
    for (let j = now.length - 1; j >= 0; j -= 1) {
      common[i * width + j] = old[i] === now[j]
        ? common[(i + 1) * width + j + 1] + 1
        : Math.max(common[(i + 1) * width + j], common[i * width + j + 1]);
    }
  }
  const found = [];
  let [i, j] = [0, 0];
  while (i < old.length || j < now.length) {
    const same = i < old.length && j < now.length && old[i] === now[j];
    const isNew = i === old.length || (j < now.length && common[i * width + j + 1] > common[(i + 1) * width + j]);
    found.push(same ? [' ', old[i]] : isNew ? ['+', now[j]] : ['-', old[i]]);
    if (same || !isNew) i += 1;
    if (same || isNew) j += 1;
  }
  return found;
}

/** The same to look at; what is far from any difference is left out. */
export function linesView(before, after) {
  const all = steps(before, after);
  const near = all.map(() => false);
  all.forEach(([mark], at) => {
    if (mark !== ' ') near.fill(true, Math.max(0, at - AROUND), at + AROUND + 1);
  });
  const shown = [];
  all.forEach(([mark, line], at) => {
    if (near[at]) shown.push(h('span', { class: { '+': 'good', '-': 'bad', ' ': 'same' }[mark] }, `${mark} ${visible(line.replaceAll('\t', '    '))}\n`));
    else if (near[at - 1]) shown.push(h('span', { class: 'dim' }, '…\n'));
  });
  return h('pre', { class: 'data lines', tabindex: 0, 'aria-label': 'Lines that differ' }, shown);
}
