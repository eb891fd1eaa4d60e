// One znode at two moments: what became of its data and its ACL.

import { asHex, asJson, asText, decoded } from './data.js';
import { h } from './dom.js';
import { bytes, code } from './format.js';
import { linesView } from './lines.js';
import { aclText, readZnode, isUnread, znodeView } from './znode.js';

// Larger data are not compared in the page.
const MOST = 262_144;

/** Compares a znode of two backups; `live` for `to` is how it is in ZooKeeper now, and null one of which it is known that it has no such znode. */
export async function compareView(from, to, path, signal) {
  const [before, after] = await Promise.all([from, to].map((id) => (id === null ? null : readZnode(id, path, signal))));
  const title = h('h2', {}, code(path));
  if (!before && !after) return h('article', {}, title, h('p', {}, 'It is in neither of them.'));
  if (!before || !after) {
    const [id, znode, what] = before ? [from, before, 'It is gone. It was:'] : [to, after, 'It is new:'];
    return h('article', {}, h('p', { class: before ? 'bad' : 'good' }, what), znodeView(id, znode));
  }
  const unread = [[from, before], [to, after]].filter(([, znode]) => isUnread(znode));
  if (unread.length > 0) {
    return h('article', {}, title, unread.map(([id]) => h('p', { class: 'changed' }, 'It could not be read for ', code(id), ', and cannot be compared.')));
  }
  return h('article', { 'aria-label': 'What differs' }, title,
    h('h3', {}, 'Data'), data(decoded(before.data), decoded(after.data)),
    h('h3', {}, 'ACL'), acls(before.acl, after.acl));
}

function lines(before, after) {
  return before === after ? h('p', { class: 'dim' }, 'The same.') : linesView(before, after);
}

function acls(before, after) {
  // No znode is without: one of them is of the predecessor.
  if (before.length === 0 || after.length === 0) return h('p', { class: 'dim' }, 'A backup of the predecessor has no ACLs to compare.');
  return lines(aclText(before), aclText(after));
}

function data(before, after) {
  if (before.length > MOST || after.length > MOST) {
    return h('p', {}, `${bytes(before.length)} before, ${bytes(after.length)} after: too large to be compared here.`);
  }
  const texts = [before, after].map(asText);
  if (texts.includes(null)) return lines(...[before, after].map(asHex));
  const json = texts.map(asJson);
  const isTold = !json.includes(null) && json[0] !== json[1];
  return lines(...(isTold ? json : texts));
}
