// How numbers, times, names and texts look.

import { h } from './dom.js';

/** A name or a line as it is. What cannot be seen, or would turn the rest of the line round, is shown by its number. */
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (hidden) => `\\u{${hidden.codePointAt(0).toString(16)}}`);
}

/** The same of a text of several lines. */
export function visibleText(text) {
  return text.replace(/[^\n\t]+/g, visible);
}

/** A path, a name or an id. */
export function code(text) {
  return h('code', {}, visible(text));
}

export function count(number) {
  return Number(number ?? 0).toLocaleString('en');
}

/** `1 znode`, `2 znodes`. */
export function several(number, what) {
  return `${count(number)} ${what}${number === 1 ? '' : 's'}`;
}

export function bytes(number) {
  let value = number;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  while (value >= 1024 && units.length > 1) {
    value /= 1024;
    units.shift();
  }
  return `${units[0] === 'B' || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[0]}`;
}

/** A time that something took, of ms. */
export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return span(seconds);
}

/** A time of seconds, as people say it. */
export function span(seconds) {
  const steps = [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]];
  const [unit, length] = steps.find(([, length]) => seconds >= length) ?? ['s', 1];
  const whole = Math.floor(seconds / length);
  const rest = steps[steps.findIndex(([name]) => name === unit) + 1];
  const more = rest ? Math.floor((seconds - whole * length) / rest[1]) : 0;
  return `${whole} ${unit}${more > 0 ? ` ${more} ${rest[0]}` : ''}`;
}

/** A moment, of RFC 3339 or of ms since the Unix epoch: in UTC, as ids are, and how far away it is. */
export function moment(at) {
  if (at === null || at === undefined) return null;
  const date = new Date(at);
  const text = `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  const away = (Date.now() - date.getTime()) / 1000;
  const far = away >= 0 ? `${span(away)} ago` : `in ${span(-away)}`;
  return h('time', { datetime: date.toISOString() }, text, ' ', h('span', { class: 'dim' }, `(${far})`));
}

/** A zxid, as servers print it. */
export function zxid(number) {
  return `0x${BigInt(number).toString(16)}`;
}

/** The number in texts such as `9312ms` and `25283b`. */
export function leading(text) {
  return Number.parseInt(text ?? '0', 10) || 0;
}

/** Permissions of an ACL entry, as ZooKeeper's own shell shows them. */
export function permissions(bits) {
  return [...'rwcda'].filter((_, bit) => (bits >> bit) & 1).join('') || 'none';
}
