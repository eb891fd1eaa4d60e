// Retention: what the policies would keep and remove, and why.

import { get, mayChange, post } from '../api.js';
import { field, h, link, put, say, table, wrong } from '../dom.js';
import { count, moment, several, visible } from '../format.js';

const KEYS = [['fullEvictionPolicy', 'Full backups'], ['granularEvictionPolicy', 'Backups of some subtrees']];

export async function retention(view, _query, signal) {
  const policies = await get('evictionpolicy', {}, signal);
  const rows = KEYS.map(([key, title]) => {
    const told = policies[key];
    return h('tr', {}, h('td', {}, title), h('td', {}, h('code', {}, told.policy)), h('td', {}, told.from, told.set_at ? [', ', moment(told.set_at)] : null));
  });
  const plan = h('div', { tabindex: -1 });
  put(view, table('Policies', ['Of', 'Policy', 'From'], rows));
  if (!mayChange()) {
    view.append(h('p', { class: 'dim' }, 'The plan is shown to credentials that may change something.'));
    return;
  }
  const inputs = KEYS.map(([key, title]) => [key, h('input', { type: 'text', value: policies[key].policy, autocomplete: 'off', spellcheck: 'false' }), title]);
  const form = h('form', {
    class: 'filters',
    onsubmit: (event) => {
      event.preventDefault();
      const body = Object.fromEntries(inputs.map(([key, input]) => [key, input.value]));
      const isOther = KEYS.some(([key]) => body[key] !== policies[key].policy);
      const asked = isOther ? post('evictionpolicy', { query: { dry_run: true }, body, signal }) : now(signal);
      show(plan, asked, !isOther, signal);
    },
  }, inputs.map(([, input, title]) => field(`${title}: try`, input)), h('button', { type: 'submit' }, 'Show the plan'));
  view.append(form, h('p', { class: 'dim' }, 'Another policy is only tried here: nothing is set. POST /evictionpolicy and the settings set it.'), plan);
  await show(plan, now(signal), true, signal);
}

// What was asked for last: what is answered to an earlier question comes too late.
let turn = 0;

function now(signal) {
  return post('evict', { query: { dry_run: true }, signal });
}

async function show(view, asked, isReal, signal, note = null) {
  turn += 1;
  const mine = turn;
  let decisions;
  try {
    decisions = await asked;
  } catch (error) {
    if (!signal.aborted && mine === turn) put(view, wrong(error));
    return;
  }
  if (mine !== turn) return;
  const going = goes(decisions);
  const staying = decisions.filter(({ action }) => action === 'keep');
  say(`${several(going.length, 'backup')} would go.`);
  put(view,
    note ? h('p', { class: 'changed box', role: 'alert' }, note) : null,
    h('p', { class: 'counts' }, h('span', { class: going.length > 0 ? 'count bad' : 'count' }, h('strong', {}, count(going.length)), ' would go'),
      h('span', { class: 'count good' }, h('strong', {}, count(staying.length)), staying.length === 1 ? ' stays' : ' stay')),
    isReal ? null : h('p', { class: 'dim' }, 'By the policies that are tried above, not by those that are set.'),
    isReal && going.length > 0 ? evict(view, going, signal) : null,
    decisions.length > 0 ? table('Plan', ['Backup', 'What', 'Why'], [...going, ...staying].map(row)) : h('p', {}, 'There is no backup yet.'));
}

function goes(decisions) {
  return decisions.filter(({ action }) => action === 'evict');
}

function row({ id, action, reason }) {
  return h('tr', {}, h('td', {}, h('a', { class: 'id', href: link('backup', { id }) }, id)),
    h('td', {}, h('span', { class: `badge ${action === 'evict' ? 'bad' : 'good'}` }, action === 'evict' ? 'goes' : 'stays')), h('td', {}, visible(reason)));
}

function evict(view, going, signal) {
  const box = h('p', { class: 'buttons' });
  const sure = h('button', { type: 'button', class: 'danger' }, `Remove ${several(going.length, 'backup')} for good`);
  const no = h('button', { type: 'button', onclick: () => { put(box, first); first.focus(); } }, 'Leave them');
  const first = h('button', { type: 'button', onclick: () => { put(box, sure, no); no.focus(); } }, 'Evict now…');
  sure.addEventListener('click', async () => {
    view.focus({ preventScroll: true }); // the button goes
    sure.disabled = true;
    try {
      const decisions = await now(signal);
      const ids = (some) => some.map(({ id }) => id).sort().join();
      if (ids(goes(decisions)) !== ids(going)) {
        await show(view, decisions, true, signal, 'The plan is another now, so nothing was removed. This is the new one.');
        return;
      }
      await post('evict', { signal });
      say('The policies were applied.');
      await show(view, now(signal), true, signal);
    } catch (error) {
      if (!signal.aborted) put(box, wrong(error));
    }
  });
  return put(box, first);
}
