// The znodes of a backup as a tree, read as they come into sight.

import { get, ofBackup } from './api.js';
import { h } from './dom.js';
import { bytes, count, visible } from './format.js';
import { tree } from './tree.js';

// Znodes that are asked for at once, and children of one that are shown until more are wanted.
const PAGE = 500;
const SHOWN = 100_000;

/** `pick(path)` is called for the znode that is chosen, `failed(error)` where some cannot be read. */
export function znodes(id, { pick, failed, signal }) {
  // A node is a znode whose `info` is null until it was read, or one that stands for those that are not shown.
  function child(parent, index) {
    return { of: parent, index, info: null };
  }

  function range(parent, from, to) {
    return Array.from({ length: to - from }, (_, at) => child(parent, from + at));
  }

  async function read(node, offset) {
    const query = { path: node.info.path, offset, limit: PAGE };
    const page = await get(ofBackup(id, '/znodes'), query, signal);
    node.total = page.total;
    return page.znodes;
  }

  async function expand(node) {
    const first = await read(node, 0);
    node.children = range(node, 0, Math.min(node.total, SHOWN));
    node.asked = new Set([0]);
    fill(node, 0, first);
    return node.children.concat(rest(node));
  }

  function rest(node) {
    return node.children.length < node.total ? [{ of: node, more: true }] : [];
  }

  function fill(node, offset, infos) {
    infos.forEach((info, at) => {
      if (node.children[offset + at]) node.children[offset + at].info = info;
    });
  }

  // Reads what is in sight and not known. An answer may have fewer than a page, so it begins where something is missing.
  async function want(node, index) {
    let offset = index - (index % PAGE);
    while (offset < index && node.children[offset].info) offset += 1;
    if (node.asked.has(offset)) return;
    node.asked.add(offset);
    try {
      const infos = await read(node, offset);
      if (infos.length === 0) throw new Error('The server does not tell all of these znodes.');
      fill(node, offset, infos);
      shown.render();
    } catch (error) {
      node.asked.delete(offset); // when it comes into sight again
      if (!signal.aborted) failed(error);
    }
  }

  function more(node) {
    const { of } = node;
    const from = of.children.length;
    const next = range(of, from, Math.min(of.total, from + SHOWN));
    of.children = of.children.concat(next);
    shown.remove(node);
    shown.add(of, next.concat(rest(of)));
  }

  function draw(node) {
    if (node.more) {
      const left = node.of.total - node.of.children.length;
      return { cells: [`${count(left)} more: show the next ${count(Math.min(left, SHOWN))}`], leaf: true, kind: 'dim' };
    }
    const siblings = node.of?.total ?? 1;
    const position = (node.index ?? 0) + 1;
    if (!node.info) {
      want(node.of, node.index);
      return { cells: ['…'], leaf: true, position, siblings, kind: 'dim' };
    }
    const { path, name, size, children, role } = node.info;
    const note = { unreadable: 'could not be read', ancestor: 'above what was backed up' }[role];
    return {
      cells: [
        h('span', { class: 'name' }, path === '/' ? '/' : visible(name)),
        h('span', { class: 'dim' }, children > 0 ? `${count(children)} below` : null, ' ', size > 0 ? bytes(size) : null, ' ', note),
      ],
      leaf: children === 0,
      position,
      siblings,
    };
  }

  const shown = tree({
    label: `Znodes of ${id}`,
    expand,
    draw,
    failed,
    pick: (node) => {
      if (node.more) more(node);
      else if (node.info) pick(node.info.path);
    },
  });
  return {
    element: shown.element,
    async begin() {
      // A backup of some subtrees knows nothing of the root but what is below it.
      const root = { of: null, info: { path: '/', name: '', size: 0, children: null } };
      shown.begin([root]);
      await shown.open(root);
    },
  };
}
