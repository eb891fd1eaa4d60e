// Diff: two backups, or a backup and how it is now.

import { get, ofBackup } from '../api.js';
import { changes } from '../changes.js';
import { compareView } from '../compare.js';
import { describe, named } from '../described.js';
import { field, h, link, once, put, wrong } from '../dom.js';
import { code, count } from '../format.js';

const PAGE = 1_000;

const COUNTED = ['added', 'removed', 'data_changed', 'acl_changed', 'unknown'];

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

/** The newest that is good, and no way back from a restore; where there is none, the newest. */
export async function latest(ids, signal) {
  try {
    return (await get(ofBackup('latest'), {}, signal)).id;
  } catch (error) {
    if (!error.status) throw error;
    return ids.at(-1);
  }
}

export async function diff(view, query, signal) {
  const ids = await get('listbackups', {}, signal);
  if (ids.length === 0) {
    put(view, h('p', {}, 'There is no backup yet.'));
    return;
  }
  const from = chooser(ids, query.get('from') ?? await latest(ids, signal));
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
  tellOf(from, ids, signal).then(() => tellOf(to, ids, signal)).catch(() => {}); // they are chosen by their ids then
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
        const isNew = node.changes.includes('added');
        // What is gone from ZooKeeper may be there again.
        const isGone = node.changes.includes('removed') && to !== 'live';
        const shown = await compareView(isNew ? null : from, isGone ? null : to, node.path, signal);
        if (wanted === node.path) put(detail, shown);
      } catch (error) {
        if (wanted === node.path) failed(error);
      }
    },
  });
  const more = h('button', { type: 'button', onclick: onward }, `Show the next ${count(PAGE)}`);
  const ask = (offset) => get('diff', { from, to, offset, limit: PAGE }, signal);
  let listed = 0;
  let last = null;

  function add(differences, { added, removed, data_changed, acl_changed }) {
    listed += differences.length;
    last = differences.at(-1) ?? last;
    tree.add(differences);
    more.hidden = differences.length === 0 || listed >= added + removed + data_changed + acl_changed;
  }

  // Of what lives each page is another comparison: where it does not go on from the one before, some would be left out.
  async function next() {
    try {
      if (to !== 'live') {
        const answer = await ask(listed);
        add(answer.differences, answer);
        return;
      }
      const answer = await ask(listed - 1);
      const [first, ...rest] = answer.differences;
      const isSame = COUNTED.every((what) => answer[what] === page[what]) && first?.path === last.path && first.change === last.change;
      if (!isSame) throw new Error('ZooKeeper changed since, so the rest does not follow from what is shown: compare again.');
      add(rest, answer);
    } catch (error) {
      failed(error);
    }
  }

  async function onward() {
    await once(more, next);
    if (more.hidden) tree.element.focus({ preventScroll: true });
  }

  const page = await ask(0);
  add(page.differences, page);
  const counts = [[page.added, 'added', 'good'], [page.removed, 'removed', 'bad'], [page.data_changed, 'with other data', 'changed'], [page.acl_changed, 'with another ACL', 'changed']];
  const none = counts.every(([number]) => number === 0);
  const isOfNone = page.within?.length === 0;
  const nothing = isOfNone ? 'Nothing was compared: there is nothing that both are of, but for what is below /zookeeper.'
    : page.unknown > 0 ? 'Nothing is known to differ.' : 'Nothing differs.';
  put(view,
    h('p', { class: 'counts', role: 'status' }, none ? nothing : counts.map(([number, what, look]) => h('span', { class: number > 0 ? `count ${look}` : 'count' }, h('strong', {}, count(number)), ` ${what}`))),
    page.within?.length > 0 ? h('p', { class: 'changed' }, 'Only what both are of was compared: ', page.within.map((path, at) => [at > 0 ? ', ' : null, code(path)]), '.') : null,
    page.unknown > 0 ? h('details', {}, h('summary', {}, `${count(page.unknown)} may differ: one side could not read them`), h('ul', {}, page.unknown_paths.map((path) => h('li', {}, code(path))))) : null,
    none ? null : h('div', { class: 'split' }, h('div', {}, tree.element, more), detail));
}
