// One znode of a backup: what it is, who may do what to it, and its data.

import { get, mayChange, ofBackup } from './api.js';
import { dataView, decoded } from './data.js';
import { facts, h, link, table } from './dom.js';
import { bytes, code, count, moment, permissions, visible, zxid } from './format.js';

/** Reads a znode of a backup; `live` for the id is how it is in ZooKeeper now. Null where it has none. */
export async function readZnode(id, path, signal) {
  try {
    return await get(ofBackup(id, '/znode'), { path }, signal);
  } catch (error) {
    if (error.code === 'znode_not_found') return null;
    throw error;
  }
}

// What is said of a znode that is not simply in a backup.
const ROLES = {
  unreadable: 'It could not be read: the backup has neither its data, nor its ACL and children.',
  ancestor: 'It was not asked for: it is above what was. A restore creates it only where it is missing.',
};

/** Whether a backup has no more than the name of a znode. */
export function isUnread({ role }) {
  return role === 'unreadable';
}

/** All that is known of a znode. */
export function znodeView(id, znode) {
  const why = ROLES[znode.role];
  return h('article', { class: 'znode', 'aria-label': `Znode ${visible(znode.path)}` },
    h('h2', {}, code(znode.path)),
    h('p', { class: 'buttons' },
      h('a', { class: 'button', href: link('history', { path: znode.path }) }, 'History'),
      mayChange() && !why && znode.path !== '/' ? h('a', { class: 'button', href: link('restore', { id, path: znode.path }) }, 'Restore it…') : null),
    why ? h('p', { class: isUnread(znode) ? 'box changed' : 'box' }, why) : null,
    isUnread(znode) ? null : described(znode));
}

function described(znode) {
  const { stat } = znode;
  const kind = znode.kind === 'ttl' ? `TTL, ${znode.ttl_ms} ms` : znode.kind;
  const data = dataView(decoded(znode.data));
  // Every znode of a server has an ACL. A backup without has no versions and times either.
  if (znode.acl.length === 0) {
    return [
      data,
      h('p', { class: 'box' }, 'The backup has neither its ACL, nor its versions and times.'),
      facts([['Data', bytes(znode.size)], ['Children', count(znode.children)]]),
    ];
  }
  return [
    data,
    h('h3', {}, 'ACL'),
    aclView(znode.acl),
    h('h3', {}, 'Stat'),
    facts([
      ['Data', `${bytes(znode.size)}, version ${stat.version}`],
      ['Children', `${count(znode.children)}, version ${stat.cversion}`],
      ['Kind', kind],
      ['Created', [zxid(stat.czxid), ' ', moment(stat.ctime)]],
      ['Changed', [zxid(stat.mzxid), ' ', moment(stat.mtime)]],
      ['ACL', `version ${stat.aversion}`],
      ['Children last changed', zxid(stat.pzxid)],
    ]),
  ];
}

/** Who may do what. */
export function aclView(acl) {
  const rows = acl.map((entry) => h('tr', {},
    h('td', {}, code(entry.scheme)), h('td', {}, code(entry.id)), h('td', {}, h('code', {}, permissions(entry.perms)))));
  return table('ACL', ['Scheme', 'Id', 'Permissions'], rows);
}

/** An ACL as lines of text, to be compared. */
export function aclText(acl) {
  return acl.map((entry) => `${entry.scheme}:${entry.id}:${permissions(entry.perms)}`).sort().join('\n');
}
