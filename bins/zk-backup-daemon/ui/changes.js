// What differs, as a tree by path.

import { h } from './dom.js';
import { visible } from './format.js';
import { tree } from './tree.js';

// How each kind of change is marked and called.
const KINDS = {
  added: ['+', 'added', 'good'],
  create: ['+', 'is created', 'good'],
  removed: ['−', 'removed', 'bad'],
  delete: ['−', 'is deleted', 'bad'],
  data_changed: ['~', 'other data', 'changed'],
  data: ['~', 'gets its data', 'changed'],
  acl_changed: ['~', 'another ACL', 'changed'],
  acl: ['~', 'gets its ACL', 'changed'],
  both_changed: ['~', 'other data and another ACL', 'changed'],
};

/** `add` takes more differences: objects with `path` and `change`. `pick` is called with a node's `path` and its `changes`. */
export function changes({ label, pick = () => {}, failed }) {
  const root = { name: '/', path: '/', changes: [], below: new Map(), open: true };
  const shown = tree({
    label,
    expand: (node) => [...node.below.values()],
    draw: (node) => ({
      cells: [
        node.changes.map((change) => h('span', { class: `mark ${KINDS[change]?.[2] ?? ''}`, 'aria-hidden': 'true' }, KINDS[change]?.[0] ?? '?')),
        h('span', { class: 'name' }, visible(node.name)),
        h('span', { class: 'dim' }, node.changes.map((change) => KINDS[change]?.[1] ?? change).join(', ')),
      ],
      leaf: node.below.size === 0,
      kind: node.changes.length > 0 ? '' : 'same',
    }),
    pick,
    failed,
  });

  function place(path) {
    let node = root;
    if (path === '/') return node;
    for (const name of path.slice(1).split('/')) {
      let next = node.below.get(name);
      if (!next) {
        next = { name, path: `${node.path === '/' ? '' : node.path}/${name}`, changes: [], below: new Map(), open: true };
        node.below.set(name, next);
      }
      node = next;
    }
    return node;
  }

  return {
    element: shown.element,
    add(differences) {
      for (const { path, change } of differences) place(path).changes.push(change);
      shown.begin([root]);
    },
  };
}
