// Restore, step by step: what, where to, by which policy, the plan, the confirmation, and what came of it.

import { begin, get, mayChange, ofBackup } from '../api.js';
import { changes } from '../changes.js';
import { holds, standing } from '../described.js';
import { choice, facts, field, h, once, put, wrong } from '../dom.js';
import { code, count, moment, several, visible } from '../format.js';
import { failures, watch } from '../watch.js';
import { chooser, latest, tellOf } from './diff.js';

const STEPS = [['What', what], ['Where to', where], ['Policy', policy], ['Plan', plan], ['Confirm', confirm], ['Result', outcome]];

const POLICIES = [
  ['replace', 'Replace', 'what is restored ends as it is in the backup: what the backup lacks is deleted'],
  ['merge', 'Merge', 'as replace, and nothing is deleted'],
  ['missing', 'Only what is missing', 'creates what is not there, and leaves everything else alone'],
];

export async function restore(view, query, signal) {
  if (!mayChange()) {
    put(view, h('p', { class: 'box' }, 'These credentials look, and change nothing: a restore needs those of the operator.'));
    return;
  }
  const ids = await listed(query.get('id'), signal);
  if (ids.length === 0) {
    put(view, h('p', {}, 'There is no backup yet.'));
    return;
  }
  const path = query.get('path');
  const asked = { ids, id: query.get('id') ?? await latest(ids, signal), whole: !path, roots: path ? [path] : [], renames: {}, policy: 'replace', backupFirst: true, signal };
  const list = h('ol', { class: 'steps', 'aria-label': 'Steps' });
  const body = h('div', {});
  put(view, list, body);

  function go(at) {
    put(list, STEPS.map(([title], step) => h('li', { 'aria-current': step === at ? 'step' : null, class: step < at ? 'done' : '' }, title)));
    const title = h('h2', { tabindex: -1 }, STEPS[at][0]);
    const form = h('form', { class: 'step' });
    const back = at > 0 && at < 5 ? h('button', { type: 'button', onclick: () => go(at - 1) }, 'Back') : null;
    const next = h('button', { type: 'submit', class: 'primary' }, 'Next');
    const errors = h('div', {});
    put(body, title, form);
    const [, draw] = STEPS[at];
    // What the step shows, and what it has to say against going on.
    const { content, check = () => null } = draw(asked, next);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      try {
        await once(next, async () => {
          const objection = await check();
          if (objection) put(errors, wrong(new Error(objection)));
          else go(at + 1);
        });
      } catch (error) {
        if (!signal.aborted) put(errors, wrong(error));
      }
    });
    put(form, content, errors, at < 5 ? h('p', { class: 'buttons' }, back, next) : null);
    title.focus();
  }

  go(0);
}

/** The backups that there are. Where one of several storages is away there is no list, and what was chosen may be restored all the same. */
async function listed(chosen, signal) {
  try {
    return await get('listbackups', {}, signal);
  } catch (error) {
    if (!error.status || !chosen) throw error;
    return [chosen];
  }
}

function what(asked) {
  const backup = chooser(asked.ids, asked.id);
  tellOf(backup, asked.ids, asked.signal).catch(() => {}); // they are chosen by their ids then
  const about = h('div', {});
  const roots = h('textarea', { rows: 4, spellcheck: 'false' });
  roots.value = asked.roots.join('\n');
  const some = field('Subtrees', roots, 'a path in each line, such as /config');
  some.hidden = asked.whole;

  let turn = 0;
  async function tell() {
    turn += 1;
    const mine = turn;
    // Until it is known which one is chosen, none is.
    asked.backup = null;
    put(about, h('p', { class: 'dim' }, '…'));
    try {
      const found = await get(ofBackup(backup.value), {}, asked.signal);
      if (mine !== turn) return;
      asked.id = found.id;
      asked.backup = found;
      put(about, h('p', {}, standing(found)), found.exception ? h('p', { class: 'changed' }, visible(found.exception)) : null,
        facts([['Date', moment(found.ts)], ['Holds', visible(holds(found))], ['Consistency', found.consistency], ['Znodes', found.znodes === null ? null : count(found.znodes)]]));
    } catch (error) {
      if (mine === turn && !asked.signal.aborted) put(about, wrong(error));
    }
  }

  let told = tell();
  backup.addEventListener('change', () => { told = tell(); });
  const content = [
    field('Backup', backup), about,
    choice('What of it', 'whole', [['all', 'Everything in it'], ['some', 'Only these subtrees']], asked.whole ? 'all' : 'some', (value) => {
      asked.whole = value === 'all';
      some.hidden = asked.whole;
    }),
    some,
  ];
  return {
    content,
    async check() {
      let known;
      do {
        known = told;
        await known;
      } while (known !== told);
      if (!asked.backup) return 'Choose a backup that is there.';
      asked.roots = asked.whole ? [] : roots.value.split('\n').filter((line) => line !== '').map(absolute);
      if (!asked.whole && asked.roots.length === 0) return 'Name at least one subtree, or take everything.';
      return null;
    },
  };
}

function absolute(path) {
  return path.startsWith('/') ? path : `/${path}`;
}

function where(asked) {
  if (asked.whole) {
    return { content: h('p', {}, 'To where it was. To restore under another name, go back and name the subtrees.'), check: () => { asked.renames = {}; return null; } };
  }
  const inputs = asked.roots.map((root) => [root, h('input', { type: 'text', value: asked.renames[root] ?? root, autocomplete: 'off', spellcheck: 'false' })]);
  return {
    content: [h('p', {}, 'To the same place, or under another name: what lives below that is replaced as everywhere.'),
      inputs.map(([root, input]) => field(['From ', code(root), ' to'], input))],
    check() {
      const changed = inputs.filter(([root, input]) => input.value !== '' && absolute(input.value) !== root);
      asked.renames = Object.fromEntries(changed.map(([root, input]) => [root, absolute(input.value)]));
      return null;
    },
  };
}

function policy(asked) {
  return { content: choice('What becomes of what is there', 'policy', POLICIES, asked.policy, (value) => { asked.policy = value; }) };
}

// A plan, as the API takes it: names have no slash in front.
function request(asked) {
  const name = (path) => path.slice(1);
  // Else what stays where it was would go along with what it is below.
  const moved = Object.keys(asked.renames);
  const stay = asked.roots.filter((root) => !moved.includes(root) && moved.some((from) => root.startsWith(`${from}/`)));
  const renames = [...Object.entries(asked.renames), ...stay.map((root) => [root, root])].map(([from, to]) => [name(from), name(to)]);
  const body = { vault: asked.id, policy: asked.policy, dry_run: true };
  if (!asked.whole) body.dbs = asked.roots.map(name);
  if (renames.length > 0) body.changeDbNames = Object.fromEntries(renames);
  return body;
}

// What makes a restore worth while of which something is left out.
const CHANGES = ['created', 'data_changed', 'acl_changed', 'deleted', 'counters_raised', 'finished', 'unfinished', 'unseen'];

function plan(asked, next) {
  const view = h('div', {});
  next.hidden = true;
  // What is done is what was planned.
  const mine = request(asked);
  asked.planned = mine;
  asked.leftOut = null;
  const make = async () => {
    try {
      const id = await begin('restore', mine, asked.signal);
      const job = await watch(id, view, asked.signal);
      // There may be another plan by now.
      if (!job || asked.planned !== mine) return;
      const { report, dry_run: isWhole } = job.result ?? {};
      // One that ended early, as where the backup is damaged, says nothing of the rest.
      const isOfUse = CHANGES.some((what) => report?.[what] > 0);
      asked.leftOut = job.status === 'Failed' && isWhole && report?.failed > 0 && isOfUse ? report : null;
      if (asked.leftOut) view.append(h('p', { class: 'bad box' }, rest(report)));
      if (report?.differences?.length > 0) view.append(...differences(report));
      next.hidden = job.status !== 'Successful' && !asked.leftOut;
      if (!next.hidden) next.focus({ preventScroll: true }); // what it goes on from is to be read
    } catch (error) {
      if (!asked.signal.aborted) put(view, wrong(error));
    }
  };
  make();
  return { content: [h('p', {}, 'What a restore would do, just now. Nothing is written.'), view] };
}

function rest({ failed }) {
  return `A restore brings back everything else, and ends as failed: ${several(failed, 'znode')} cannot be brought back.`;
}

function differences(report) {
  const all = report.created + report.data_changed + report.acl_changed + report.deleted;
  const tree = changes({ label: 'What would be changed', failed: () => {} });
  tree.add(report.differences);
  return [h('h3', {}, 'Znode by znode'), tree.element,
    all > report.differences.length ? h('p', { class: 'dim' }, `The first ${count(report.differences.length)} of ${count(all)}.`) : null].filter(Boolean);
}

function confirm(asked, next) {
  const typed = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', required: true });
  const first = h('input', { type: 'checkbox', checked: asked.backupFirst, id: 'backup-first' });
  next.textContent = 'Restore';
  next.classList.add('danger');
  const [, name] = POLICIES.find(([value]) => value === asked.policy);
  return {
    content: [
      facts([
        ['Backup', code(asked.id)],
        ['What', asked.whole ? 'everything in it' : h('ul', {}, asked.roots.map((root) => h('li', {}, code(root), asked.renames[root] ? [' to ', code(asked.renames[root])] : null)))],
        ['Policy', name],
      ]),
      asked.leftOut ? [h('p', { class: 'bad box' }, rest(asked.leftOut)), failures(asked.leftOut.failures, asked.leftOut.failed, 'What cannot be brought back')] : null,
      h('p', { class: 'choice' }, first, h('label', { for: 'backup-first' }, 'Back up what is there now first', h('small', {}, 'pinned, so that the restore can be undone; where that fails nothing is restored'))),
      field(['To go on, type the id of the backup: ', code(asked.id)], typed),
    ],
    check() {
      asked.backupFirst = first.checked;
      return typed.value.trim() === asked.id ? null : `That is not ${asked.id}.`;
    },
  };
}

function outcome(asked) {
  const view = h('div', {});
  const work = async () => {
    try {
      // Once it was sent it is done, whoever leaves.
      const id = await begin('restore', { ...asked.planned, dry_run: false, backup_first: asked.backupFirst });
      await watch(id, view, asked.signal);
    } catch (error) {
      if (!asked.signal.aborted) put(view, wrong(error));
    }
  };
  work();
  return { content: view };
}
