// A job while it is done, and what came of it.

import { hasEnded, job, mayChange, post } from './api.js';
import { facts, h, link, put, say, table, wrong } from './dom.js';
import { bytes, code, count, moment, several, visible, visibleText } from './format.js';
import { poll } from './poll.js';

/** Shows a job in `view` until it has ended, and answers how it ended; null where the page was left before. */
export async function watch(id, view, signal) {
  const bar = h('progress', { 'aria-label': 'How far the job is' });
  const phase = h('p', { class: 'phase' });
  const numbers = h('p', { class: 'dim' });
  const off = h('button', { type: 'button', class: 'changes', onclick: () => cancel(id, off, view) }, 'Cancel it');
  put(view, h('div', { class: 'box' }, phase, bar, numbers, mayChange() ? off : null));
  let last = null;
  let said = '';
  await poll(async (told) => {
    last = told ?? await job(id, signal);
    const { progress } = last;
    const text = last.status === 'Queued' ? 'It waits for its turn.' : `${kind(last)}: ${progress?.phase ?? 'begins'}`;
    if (text !== said) say(text);
    said = text;
    put(phase, text);
    put(numbers, progress ? `${several(progress.znodes, 'znode')}, ${bytes(progress.bytes)}${progress.expected ? `, of about ${count(progress.expected)}` : ''}` : '');
    if (progress?.expected) {
      bar.max = Math.max(progress.expected, progress.znodes);
      bar.value = progress.znodes;
    } else {
      bar.removeAttribute('value');
    }
    return hasEnded(last);
  }, signal, 500, (name, data) => data.task_id === id);
  if (signal.aborted) return null;
  say(`The ${kind(last)} is ${last.status}. ${last.message ?? ''}`);
  const isLost = [off, document.body].includes(document.activeElement);
  const result = ended(last);
  put(view, result);
  if (isLost) result.focus({ preventScroll: true });
  return last;
}

async function cancel(id, button, view) {
  button.disabled = true;
  try {
    await post(`terminate/${encodeURIComponent(id)}`);
    put(button, 'Asked to end');
  } catch (error) {
    view.append(wrong(error));
  }
}

/** A word for how a job is. */
export function state(job) {
  const look = { Successful: 'good', Failed: 'bad', Canceled: 'changed' }[job.status] ?? '';
  return h('span', { class: `badge ${look}` }, job.status);
}

/** What a job does, in words. */
export function kind(job) {
  return job.dry_run ? 'dry run' : job.type === 'restoretest' ? 'restore test' : job.type;
}

/** A job that has ended, and its result. */
export function ended(job) {
  return h('section', { class: 'box result', tabindex: -1, 'aria-label': 'Result' },
    h('p', {}, state(job), ' ', kind(job), ' ', job.vault ? ['of ', h('a', { href: link('backup', { id: job.vault }) }, job.vault)] : null),
    job.message ? h('p', { class: job.status === 'Failed' ? 'bad' : '' }, visible(job.message)) : null,
    facts([['Subtrees', job.dbs ? visible(job.dbs.map((name) => `/${name}`).join(', ')) : null], ['Begun', moment(job.started_at)], ['Ended', moment(job.finished_at)]]),
    result(job.result),
    job.status === 'Failed' && !['None', job.message].includes(job.err) ? h('details', {}, h('summary', {}, 'The end of its log'), h('pre', { class: 'data' }, visibleText(job.err))) : null);
}

function result(result) {
  if (!result) return null;
  const first = result.backup_first;
  const parts = [first ? h('p', {}, 'What was there before is backup ', h('a', { href: link('backup', { id: first }) }, first), ', pinned.') : null,
    (result.notes ?? []).map((note) => h('p', {}, visible(note))), steps(result.steps)];
  if (result.report) parts.push(report(result.report, result.dry_run));
  else if (result.failures) parts.push(failures(result.failures, result.failures.length, 'What could not be written'));
  if (result.damaged) {
    parts.push(facts([['Backups', count(result.vaults)], ['Read', bytes(result.bytes)], ['Damaged', count(result.damaged_vaults)]]),
      result.damaged.map((backup) => h('p', { class: 'bad' }, backup.id, ': ', backup.damage.map((damage) => visible(`${damage.file}: ${damage.what}`)).join('; '))),
      (result.copies_damaged ?? []).map((copy) => h('p', { class: 'bad' }, 'The second copy of ', copy.id, ': ', copy.damage.map((damage) => visible(`${damage.file}: ${damage.what}`)).join('; '))));
  }
  if (result.znodes !== undefined) parts.push(facts([['Znodes', count(result.znodes)], ['Data', result.bytes === undefined ? null : bytes(result.bytes)]]));
  if (result.differing > 0) parts.push(paths(result.differences, result.differing, 'Not as in the backup'));
  return parts;
}

function steps(lines) {
  return lines?.length > 0 ? h('ul', {}, lines.map((line) => h('li', {}, visible(line)))) : null;
}

/** What a restore has done, or would do. */
export function report(report, isPlan) {
  const would = isPlan ? 'would be ' : '';
  return [
    h('p', { class: 'counts' }, [
      [report.created, 'created'], [report.data_changed, 'given their data'], [report.acl_changed, 'given their ACL'],
      [report.deleted, 'deleted'],
    ].map(([number, what]) => h('span', { class: number > 0 ? 'count some' : 'count' }, h('strong', {}, count(number)), ` ${would}${what}`)),
    h('span', { class: 'count' }, h('strong', {}, count(report.unchanged)), ' as in the backup already'),
    report.unseen > 0 ? h('span', { class: 'count changed' }, h('strong', {}, count(report.unseen)), ' may not be read: their ACLs are changed to look at them') : null,
    h('span', { class: report.failed > 0 ? 'count bad' : 'count' }, h('strong', {}, count(report.failed)), ' failed')),
    failures(report.failures, report.failed, isPlan ? 'What cannot be brought back' : 'What could not be done'),
    failures(report.counters_left_behind ?? [], report.counters_left, 'Counters of sequential children that were left'),
    paths(report.unknown_paths, report.unknown, 'Not in the backup, as it could not read them'),
    paths(report.met_paths, report.met, 'Created by others meanwhile, and left alone'),
    paths(report.unfinished_paths, report.unfinished, 'Unfinished: the next restore finishes them'),
    Object.entries(report.deleted_below ?? {}).map(([path, number]) => h('p', { class: 'changed' }, several(number, 'znode'), ` ${isPlan ? 'would go' : 'went'} below `, code(path))),
    report.left_alone > 0 ? h('p', { class: 'dim' }, `${several(report.left_alone, 'znode')} left alone: ephemeral ones, and their parents`) : null,
  ];
}

/** What could not be done, and why: the first, by their paths. */
export function failures(named, number, title) {
  if (!number) return null;
  const rows = named.map(({ path, why }) => h('tr', {}, h('td', {}, code(path)), h('td', {}, visible(why))));
  return h('section', { class: 'failures' }, h('h3', {}, `${title}: ${count(number)}`), table(title, ['Znode', 'Why'], rows), unnamed(named, number));
}

function paths(named, number, title) {
  if (!number) return null;
  return h('section', {}, h('h3', {}, `${title}: ${count(number)}`), h('ul', {}, (named ?? []).map((path) => h('li', {}, code(path)))), unnamed(named ?? [], number));
}

function unnamed(named, number) {
  return number > named.length ? h('p', { class: 'dim' }, `${count(number - named.length)} more are not named.`) : null;
}
