// Small plots: a bar for each full backup.

import { h, svg } from './dom.js';
import { several } from './format.js';

const HIGH = 60;
const WIDE = 8;
// Fewer bars are not made wider.
const FEWEST = 40;

/** `points` have `value`, `text` and `bad`; `look` puts a value in words. */
export function plot(title, points, look) {
  if (points.length === 0) return null;
  const most = Math.max(...points.map((point) => point.value), 1);
  const newest = points.at(-1);
  const bars = points.map((point, at) => {
    const high = Math.max(1, (point.value / most) * HIGH);
    return svg('rect', { x: at * WIDE + 1, y: HIGH - high, width: WIDE - 2, height: high, class: point.bad ? 'bar bar-bad' : 'bar' },
      svg('title', {}, `${point.text}: ${look(point.value)}`));
  });
  const words = `${title} of the last ${several(points.length, 'full backup')}: the newest ${look(newest.value)}, the most ${look(most)}`;
  return h('figure', { class: 'plot' },
    h('figcaption', {}, h('strong', {}, title), h('span', { class: 'dim' }, ` of full backups: now ${look(newest.value)}, at most ${look(most)}`)),
    svg('svg', { viewBox: `0 0 ${Math.max(points.length, FEWEST) * WIDE} ${HIGH}`, role: 'img', 'aria-label': words, preserveAspectRatio: 'none' }, bars));
}
