// Diff: two backups, or a backup and how it is now.

import { get } from '../api.js';
import { changes } from '../changes.js';
import { compareView } from '../compare.js';
import { describe, named } from '../described.js';
import { field, h, link, put, wrong } from '../dom.js';
import { code, count } from '../format.js';

const PAGE = 1_000;

/** So many of the newest are told with how they are. */
const TOLD = 50;

/** A choice of backups, the newest first, with more before them. */
export function chooser(ids, chosen, more = []) {
  const there = [...more, ...ids.toReversed().map((id) => [id, id])];
  if (chosen && !there.some(([value]) => value === chosen)) there.unshift([chosen, chosen]);
  return h('select', {}, there.map(([value, label]) => h('option', { value, selected: value === chosen }, label)));
}

/** Says in a choice how its newest backups are. */
export async function tellOf(choice, ids, signal) {
  const found = new Map((await describe(ids.slice(-TOLD), signal)).map((backup) => [backup.id, named(backup)]));
  for (const option of choice.options) option.textContent = found.get(option.value) ?? option.textContent;
}

export async function diff(view, query, signal) {
  const ids = await get('listbackups', {}, signal);
  if (ids.length === 0) {
    put(view, h('p', {}, 'There is no backup yet.'));
    return;
  }
  const from = chooser(ids, query.get('from') ?? ids.at(-1));
  const to = chooser(ids, query.get('to') ?? 'live', [['live', 'now, in ZooKeeper']]);
  const form = h('form', {
    class: 'filters',
    onsubmit: (event) => {
      event.preventDefault();
      location.hash = link('diff', { from: from.value, to: to.value });
    },
  }, field('From', from), field('To', to), h('button', { type: 'submit', class: 'primary' }, 'Compare'));
  const found = h('div', {});
  put(view, form, found);
  if (query.has('from') && query.has('to')) await tell(found, query.get('from'), query.get('to'), signal);
}

async function tell(view, from, to, signal) {
  put(view, h('p', { class: 'dim', role: 'status' }, 'Comparing…'));
  const detail = h('div', { class: 'detail' }, h('p', { class: 'dim' }, 'Choose a znode to see what differs.'));
  let wanted = null;
  const failed = (error) => { if (!signal.aborted) put(detail, wrong(error)); };
  const tree = changes({
    label: 'What differs',
    failed,
    pick: async (node) => {
      if (node.changes.length === 0) return;
      wanted = node.path;
      try {
        const shown = await compareView(from, to, node.path, signal);
        if (wanted === node.path) put(detail, shown);
      } catch (error) {
        if (wanted === node.path) failed(error);
      }
    },
  });
  const more = h('button', { type: 'button', onclick: () => go().catch(failed) }, `Show the next ${count(PAGE)}`);
  let listed = 0;

  async function go() {
    const page = await get('diff', { from, to, offset: listed, limit: PAGE }, signal);
    listed += page.differences.length;
    tree.add(page.differences);
    const all = page.added + page.removed + page.data_changed + page.acl_changed;
    more.hidden = page.differences.length === 0 || listed >= all;
    return page;
  }

  const page = await go();
  const counts = [[page.added, 'added', 'good'], [page.removed, 'removed', 'bad'], [page.data_changed, 'with other data', 'changed'], [page.acl_changed, 'with another ACL', 'changed']];
  const none = counts.every(([number]) => number === 0);
  const nothing = page.unknown > 0 ? 'Nothing is known to differ.' : 'Nothing differs.';
  put(view,
    h('p', { class: 'counts', role: 'status' }, none ? nothing : counts.map(([number, what, look]) => h('span', { class: number > 0 ? `count ${look}` : 'count' }, h('strong', {}, count(number)), ` ${what}`))),
    page.unknown > 0 ? h('details', {}, h('summary', {}, `${count(page.unknown)} may differ: one side could not read them`), h('ul', {}, page.unknown_paths.map((path) => h('li', {}, code(path))))) : null,
    none ? null : h('div', { class: 'split' }, h('div', {}, tree.element, more), detail));
}
