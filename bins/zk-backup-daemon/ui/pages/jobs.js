// Jobs: those that wait, are done and were done; and one of them.

import { get, hasEnded, mayChange, post } from '../api.js';
import { h, link, once, put, redraw, table, wrong } from '../dom.js';
import { count, moment, several, visible } from '../format.js';
import { poll } from '../poll.js';
import { kind, state, watch } from '../watch.js';

const AT_ONCE = 50;

export async function jobs(view, _query, signal) {
  let limit = AT_ONCE;
  const list = h('div', {});
  const failed = h('div', {});
  put(view, failed, list);

  // Where it is told how each of those is that are shown.
  const cells = new Map();

  async function look() {
    const page = await get('jobs', { limit }, signal);
    cells.clear();
    const more = h('button', { type: 'button', onclick: () => { limit = Math.min(limit + AT_ONCE, 1_000); look().catch((error) => put(failed, wrong(error))); } }, 'Show more');
    redraw(list, page.total === 0 ? h('p', {}, 'There is none yet.') : table('Jobs', ['Job', 'State', 'About', 'Queued', ''], page.jobs.map((job) => row(job, failed, cells))),
      page.jobs.length < page.total ? [h('p', { class: 'dim' }, `${count(page.jobs.length)} of ${count(page.total)}`), more] : null);
  }

  // How far a job is comes with what is told, and nothing else moves, so that its button can be pressed meanwhile.
  function hears(name, data) {
    const cell = cells.get(data.task_id);
    if (name === 'job.progress' && cell) put(cell, standing(data));
    return name === 'job.begun' || name === 'job.ended';
  }

  await poll(look, signal, 2_000, hears);
}

/** How a job is, and how far. */
function standing(job) {
  const { task_id: id, progress } = job;
  const far = progress?.expected ? h('progress', { max: Math.max(progress.expected, progress.znodes), value: progress.znodes, 'aria-label': `How far ${id} is` }) : null;
  return [state(job), progress ? h('small', {}, ` ${progress.phase}, ${several(progress.znodes, 'znode')}`) : null, far,
    job.message ? h('p', { class: 'dim short' }, visible(job.message)) : null];
}

function row(job, failed, cells) {
  const id = job.task_id;
  const cell = h('td', {}, standing(job));
  cells.set(id, cell);
  const stoppable = mayChange() && !hasEnded(job);
  return h('tr', {},
    h('td', {}, h('a', { href: link('job', { id }) }, kind(job)), h('br'), h('small', { class: 'dim' }, id)),
    cell,
    h('td', {}, job.vault ? h('a', { class: 'id', href: link('backup', { id: job.vault }) }, job.vault) : ''),
    h('td', {}, h('small', {}, moment(job.created_at))),
    h('td', {}, stoppable ? h('button', { type: 'button', 'aria-label': `Cancel ${id}`, onclick: (event) => cancel(id, event.target, failed) }, 'Cancel') : null));
}

async function cancel(id, button, failed) {
  try {
    await once(button, () => post(`terminate/${encodeURIComponent(id)}`));
  } catch (error) {
    put(failed, wrong(error));
  }
}

export async function job(view, query, signal) {
  const id = query.get('id') ?? '';
  const body = h('div', {});
  put(view, h('p', { class: 'dim' }, id), body);
  const done = await watch(id, body, signal);
  if (done?.type === 'backup' && done.status === 'Successful') {
    body.append(h('p', { class: 'buttons' }, h('a', { class: 'button primary', href: link('backup', { id: done.vault }) }, 'Look into it')));
  }
}
