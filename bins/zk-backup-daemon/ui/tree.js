// A tree that is opened bit by bit, with any number of nodes at one place.

import { h } from './dom.js';
import { rows } from './rows.js';

/**
 * A node is an object of the caller's; the tree keeps `depth`, `parent` and `open` in it. `expand(node)` gives its children, now or later;
 * `draw(node)` what is in its row, and what it is: `{ cells, leaf, position, siblings, kind }`; `pick(node)` is called for a node that is chosen.
 */
export function tree({ label, expand, draw, pick, failed }) {
  let flat = [];
  let picked = null;
  const list = rows({ label, role: 'tree', draw: (index) => row(flat[index]), enter: choose, key });

  function row(node) {
    const { cells, leaf, position, siblings, kind } = draw(node);
    const element = h('div', {
      class: `row ${kind ?? ''}`,
      role: 'treeitem',
      'aria-level': node.depth + 1,
      'aria-expanded': leaf ? null : String(Boolean(node.open)),
      'aria-selected': String(node === picked),
      'aria-posinset': position,
      'aria-setsize': siblings,
    }, h('span', { class: 'twist', 'aria-hidden': 'true' }, leaf ? '' : node.open ? '▾' : '▸'), cells);
    element.style.paddingInlineStart = `${Math.min(node.depth, 40) * 1.1 + 0.3}rem`;
    return element;
  }

  // What is chosen is opened, and closed only when it is chosen again, or by its own sign.
  function choose(index, target) {
    const node = flat[index];
    const { leaf } = draw(node);
    const bySign = !leaf && target?.closest('.twist');
    if (!leaf && (bySign || !node.open || node === picked)) toggle(node);
    if (!bySign) {
      picked = node;
      pick(node);
    }
    list.render();
  }

  function key(name, index) {
    const node = flat[index];
    const { leaf } = draw(node);
    if (name === 'ArrowRight' && !leaf && !node.open) toggle(node);
    else if (name === 'ArrowRight' && node.open) list.go(index + 1);
    else if (name === 'ArrowLeft' && node.open) toggle(node);
    else if (name === 'ArrowLeft' && node.parent) list.go(flat.indexOf(node.parent));
    else return name === 'ArrowRight' || name === 'ArrowLeft';
    return true;
  }

  function toggle(node) {
    if (node.open) return close(node);
    return open(node).catch(failed);
  }

  async function open(node) {
    node.open = true;
    const children = await expand(node);
    if (node.open) add(node, children);
  }

  /** Puts children below a node that is open, after those that are there. */
  function add(node, children) {
    for (const child of children) {
      child.parent = node;
      child.depth = node.depth + 1;
    }
    const at = end(node);
    const below = children.flatMap((child) => [child, ...(child.open ? opened(child) : [])]);
    flat = flat.slice(0, at).concat(below, flat.slice(at));
    list.resize(flat.length);
  }

  // What is known to be open below a node that is shown for the first time.
  function opened(node) {
    return expand(node).flatMap((child) => {
      child.parent = node;
      child.depth = node.depth + 1;
      return [child, ...(child.open ? opened(child) : [])];
    });
  }

  function end(node) {
    let at = flat.indexOf(node) + 1;
    while (at < flat.length && flat[at].depth > node.depth) at += 1;
    return at;
  }

  function close(node) {
    node.open = false;
    const at = flat.indexOf(node);
    const last = end(node);
    for (const gone of flat.slice(at + 1, last)) gone.open = false;
    flat = flat.slice(0, at + 1).concat(flat.slice(last));
    list.resize(flat.length);
  }

  return {
    element: list.element,
    render: list.render,
    open,
    add,
    /** Takes a node away that has nothing below it. */
    remove(node) {
      flat = flat.filter((other) => other !== node);
      list.resize(flat.length);
    },
    /** Begins anew with these at the top. */
    begin(roots) {
      for (const root of roots) Object.assign(root, { depth: 0, parent: null });
      flat = roots.flatMap((root) => [root, ...(root.open ? opened(root) : [])]);
      list.resize(flat.length);
    },
  };
}
