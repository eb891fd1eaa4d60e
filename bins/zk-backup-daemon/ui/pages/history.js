// History: the backups in which a znode was another than in the one before.

import { get } from '../api.js';
import { compareView } from '../compare.js';
import { field, h, link, put, table, wrong } from '../dom.js';
import { bytes, code, count, moment, visible } from '../format.js';

const WORDS = {
  first: 'there in the first backup',
  created: 'created',
  created_anew: 'deleted and created anew',
  data_changed: 'other data',
  acl_changed: 'another ACL',
  both_changed: 'other data and another ACL',
  removed: 'removed',
};

export async function history(view, query, signal) {
  const path = query.get('path');
  const words = h('input', { type: 'text', value: path ?? '', placeholder: '/config/topics', autocomplete: 'off', spellcheck: 'false', required: true });
  const asked = h('form', {
    class: 'filters',
    onsubmit: (event) => {
      event.preventDefault();
      location.hash = link('history', { path: words.value });
    },
  }, field('Znode', words, 'its path, from the root on'), h('button', { type: 'submit', class: 'primary' }, 'Show'));
  const list = h('div', { tabindex: -1 });
  const detail = h('div', { class: 'detail' });
  put(view, asked, list, detail);
  if (path) await tell(path, list, detail, signal);
}

async function tell(path, list, detail, signal) {
  const changes = [];
  const unknown = [];
  let wanted = 0;
  let next = 0;
  let total = 0;

  async function go() {
    put(list, h('p', { class: 'dim', role: 'status' }, 'Reading backups…'));
    const page = await get('history', { path, offset: next }, signal);
    changes.push(...page.changes);
    unknown.push(...page.not_looked);
    ({ next, total } = page);
    draw();
  }

  async function compare(at) {
    wanted += 1;
    const mine = wanted;
    put(detail, h('p', { class: 'dim' }, '…'));
    try {
      const [before, after] = [changes[at - 1], changes[at]].map(({ id, change }) => (change === 'removed' ? null : id));
      const shown = await compareView(before, after, path, signal);
      if (mine !== wanted) return;
      put(detail, shown);
      detail.scrollIntoView({ block: 'nearest' });
    } catch (error) {
      if (mine === wanted && !signal.aborted) put(detail, wrong(error));
    }
  }

  function draw() {
    const looked = next ?? total;
    const rows = changes.map((change, at) => h('tr', {},
      h('td', {}, h('a', { class: 'id', href: link('backup', { id: change.id, path }) }, change.id), h('br'), h('small', {}, moment(change.ts))),
      h('td', {}, WORDS[change.change] ?? change.change),
      h('td', { class: 'number' }, change.size === null ? '' : bytes(change.size)),
      h('td', { class: 'number' }, change.version === null ? '' : `${change.version} / ${change.acl_version}`),
      h('td', {}, at > 0 ? h('button', { type: 'button', onclick: () => compare(at), 'aria-label': `Compare ${change.id} with the one before` }, 'Compare') : null)));
    put(list,
      h('p', { class: 'dim', role: 'status' }, code(path), `: ${count(looked)} of ${count(total)} backups looked into`),
      changes.length > 0 ? table('History', ['Backup', 'What', 'Size', 'Version / of its ACL', ''], rows) : h('p', {}, 'None of these has it.'),
      unknown.length > 0 ? h('details', {}, h('summary', {}, `${count(unknown.length)} tell nothing of it`),
        h('ul', {}, unknown.map(({ id, why }) => h('li', {}, id, ': ', visible(why))))) : null,
      next === null ? null : h('button', { type: 'button', onclick: () => { list.focus(); go().catch((error) => put(list, wrong(error))); } }, 'Look into more'));
  }

  await go();
}
