// The data of a znode: as text, as JSON, or byte by byte.

import { h, put } from './dom.js';
import { bytes, visibleText } from './format.js';

// So much is shown until all of it is asked for.
const SHOWN = 16_384;

// JSON that is nested deeper is not set out: it would grow with the square of its depth.
const DEEPEST = 128;

/** Bytes of standard base64. */
export function decoded(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/** The text that bytes are, or null where they are none. */
export function asText(data) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(data);
  } catch {
    return null;
  }
}

/** JSON with a line for each value, or null where it is none, or nested too deep. Values stay as they are written: no number is rounded. */
export function asJson(text) {
  try {
    if (text === null || typeof (JSON.parse(text) ?? 0) !== 'object') return null;
  } catch {
    return null;
  }
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  if (depthOf(tokens) > DEEPEST) return null;
  let depth = 0;
  const line = (change) => { depth += change; return `\n${'  '.repeat(depth)}`; };
  return tokens.map((token, at) => {
    const empty = '{['.includes(token) && '}]'.includes(tokens[at + 1] ?? ' ');
    if (empty) return token;
    if ('{['.includes(token)) return token + line(1);
    if ('}]'.includes(token)) return '{['.includes(tokens[at - 1]) ? token : line(-1) + token;
    if (token === ',') return token + line(0);
    return token === ':' ? ': ' : token;
  }).join('');
}

function depthOf(tokens) {
  let depth = 0;
  let deepest = 0;
  for (const token of tokens) {
    if ('{['.includes(token)) depth += 1;
    else if ('}]'.includes(token)) depth -= 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

/** Sixteen bytes a line: where they are, what they are, and as characters. */
export function asHex(data) {
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    const some = [...data.subarray(at, at + 16)];
    const hex = some.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const characters = some.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(8, '0')}  ${hex.padEnd(47)}  ${characters}`);
  }
  return lines.join('\n');
}

/** All three, of which one is shown. */
export function dataView(data) {
  if (data.length === 0) return h('p', { class: 'dim' }, 'It has no data.');
  const text = asText(data);
  const json = asJson(text);
  const looks = [
    ['JSON', json === null ? null : () => visibleText(json)],
    ['Text', text === null ? null : () => visibleText(text)],
    ['Hex', (all) => asHex(all ? data : data.subarray(0, SHOWN))],
  ].filter(([, look]) => look);
  const isPlain = text !== null && !/[^\P{Cc}\n\r\t]/u.test(text);
  const first = json !== null ? 'JSON' : isPlain ? 'Text' : 'Hex';
  const out = h('pre', { tabindex: 0, class: 'data', 'aria-label': 'Data' });
  const foot = h('p', {});

  function show(name, all) {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.textContent === name));
    const [, look] = looks.find(([other]) => other === name);
    const whole = look(all);
    const cut = !all && (name === 'Hex' ? data.length > SHOWN : whole.length > SHOWN);
    put(out, all || name === 'Hex' ? whole : whole.slice(0, SHOWN));
    put(foot, cut ? h('button', { type: 'button', onclick: () => { show(name, true); out.focus(); } }, `Show all of it (${bytes(data.length)})`) : null);
  }

  const buttons = looks.map(([name]) => h('button', { type: 'button', onclick: () => show(name, false) }, name));
  const keep = h('button', { type: 'button', onclick: () => save(data) }, 'Download');
  show(first, false);
  return h('div', {}, h('div', { class: 'buttons', role: 'group', 'aria-label': 'How data are shown' }, buttons, keep), out, foot);
}

function save(data) {
  const url = URL.createObjectURL(new Blob([data]));
  h('a', { href: url, download: 'znode.bin' }).click();
  URL.revokeObjectURL(url);
}
