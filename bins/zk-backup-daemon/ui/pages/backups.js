// Backups: which there are, and what each holds.

import { get, mayChange, ofBackup, post } from '../api.js';
import { before, describe, forget, holds, learn, standing, storage } from '../described.js';
import { field, h, link, once, put, redraw, say, table, wrong } from '../dom.js';
import { bytes, count, duration, leading, moment, several, visible } from '../format.js';
import { trouble } from '../poll.js';
import { listen } from '../stream.js';

const AT_ONCE = 50;
// So long after a failure it is asked again.
const AGAIN = 30_000;

const KINDS = [
  ['', 'All', () => true],
  ['good', 'Good', (backup) => backup.valid && !backup.locked],
  ['bad', 'Failed, partial or damaged', (backup) => !backup.valid && !backup.locked],
  ['pinned', 'Pinned', (backup) => backup.pinned],
  ['full', 'Of everything', (backup) => !backup.is_granular],
  ['granular', 'Of some subtrees', (backup) => backup.is_granular],
  ['transactional', 'Transactional', (backup) => backup.mode === 'transactional'],
];

export async function backups(view, query, signal) {
  const words = h('input', { type: 'search', value: query.get('filter') ?? '', autocomplete: 'off', spellcheck: 'false' });
  const kinds = h('select', {}, KINDS.map(([value, label]) => h('option', { value }, label)));
  const list = h('div', {});
  const summary = h('p', { class: 'dim', role: 'status' });
  let ids = (await get('listbackups', {}, signal)).reverse();
  put(view, h('div', { class: 'filters', role: 'search' },
    field('Filter', words, 'part of an id, of a subtree or of a storage, such as 202611 or config'), field('Show', kinds)), summary, list);

  let turn = 0;
  let shown = AT_ONCE;
  async function show(isAnew = true) {
    turn += 1;
    const mine = turn;
    const stale = () => mine !== turn || signal.aborted;
    const text = words.value.trim().toLowerCase();
    const [, , fits] = KINDS.find(([value]) => value === kinds.value);
    const rows = [];
    let next = 0;
    const more = h('button', { type: 'button', onclick: () => { shown += AT_ONCE; go().catch(failed); } }, 'Show more');
    const body = table('Backups', ['Backup', 'State', 'Holds', 'Size', 'Took', 'Pinned'], rows);

    async function go() {
      while (rows.length < shown && next < ids.length && !stale()) {
        const some = ids.slice(next, next + AT_ONCE);
        next += some.length;
        for (const backup of await describe(some, signal, isAnew)) {
          if (fits(backup) && `${backup.id} ${holds(backup)} ${backup.storage_name ?? ''}`.toLowerCase().includes(text)) rows.push(row(backup));
        }
      }
      if (stale()) return;
      put(body.querySelector('tbody'), rows);
      put(summary, `${count(rows.length)} shown, ${count(next)} of ${count(ids.length)} looked at`);
      redraw(list, rows.length > 0 ? body : h('p', {}, ids.length === 0 ? 'There is no backup yet.' : 'None is like that.'), next < ids.length ? more : null);
    }

    await go();
  }

  function failed(error) {
    if (!signal.aborted) put(list, wrong(error));
  }

  function anew() {
    shown = AT_ONCE;
    show().catch(failed);
  }

  words.addEventListener('input', anew);
  kinds.addEventListener('change', anew);
  await show();
  let asked = 0;
  let again = null;
  let isDue = false;
  async function update(isAnew) {
    if (signal.aborted) return;
    clearTimeout(again);
    asked += 1;
    const mine = asked;
    isDue ||= isAnew; // also for one that is overtaken
    try {
      const told = (await get('listbackups', {}, signal)).reverse();
      if (mine !== asked) return;
      ids = told;
      await show(isDue);
      if (mine !== asked) return;
      isDue = false;
      trouble(null);
    } catch (error) {
      if (signal.aborted || mine !== asked) return;
      trouble(`${error.message} Asking again in ${AGAIN / 1_000} s.`); // what is shown is as it was
      again = setTimeout(update, AGAIN, isDue);
    }
  }

  listen((name, data) => {
    if (name === 'open') {
      update(true);
    } else if (name === 'job.ended' && data.type !== 'restore') {
      // A verification or a test tells something new of a backup that is there, or of any.
      if (data.vault) forget(data.vault);
      update(!data.vault);
    }
  }, signal);
}

function row(backup) {
  if (backup.unread) {
    return h('tr', {}, h('td', {}, h('span', { class: 'id' }, backup.id)), h('td', {}, standing(backup)), h('td', { colspan: 4, class: 'holds' }, visible(backup.exception)));
  }
  return h('tr', {},
    h('td', {}, h('a', { class: 'id', href: link('backup', { id: backup.id }) }, backup.id), h('br'), h('small', {}, moment(backup.ts))),
    h('td', {}, standing(backup)),
    h('td', { class: 'holds' }, visible(holds(backup)), h('br'), h('small', { class: 'dim' }, [backup.mode, backup.consistency, storage(backup), before(backup)].filter(Boolean).join(', '))),
    h('td', { class: 'number' }, bytes(leading(backup.size)), h('br'), h('small', { class: 'dim' }, backup.znodes === null ? '' : several(backup.znodes, 'znode'))),
    h('td', { class: 'number' }, duration(leading(backup.spent_time))),
    h('td', {}, pinButton(backup)));
}

/** Pins a backup, or takes its pin away; who may not change anything sees how it is. */
export function pinButton(backup) {
  if (!mayChange() || backup.locked || backup.pinned === null) return backup.pinned ? 'pinned' : '';
  const button = h('button', { type: 'button' });
  let pinned = backup.pinned;
  const draw = () => {
    put(button, pinned ? 'Unpin' : 'Pin');
    button.setAttribute('aria-label', `${pinned ? 'Unpin' : 'Pin'} ${backup.id}`);
    button.classList.toggle('pinned', pinned);
  };
  button.addEventListener('click', async () => {
    try {
      await once(button, async () => {
        const told = await post(ofBackup(backup.id, pinned ? '/unpin' : '/pin'));
        learn(told);
        pinned = told.pinned;
        // The list may have been drawn anew meanwhile.
        if (!button.isConnected) document.querySelector(`main button[aria-label$="in ${backup.id}"]`)?.replaceWith(button);
      });
      say(`${backup.id} is ${pinned ? 'pinned' : 'not pinned any more'}.`);
    } catch (error) {
      button.after(wrong(error));
    }
    draw();
  });
  draw();
  return button;
}
