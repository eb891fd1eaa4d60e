// Overview: how everything is, and how the last backups were.

import { begin, get, mayChange } from '../api.js';
import { describe, forget } from '../described.js';
import { h, link, put, redraw, wrong } from '../dom.js';
import { bytes, count, duration, leading, moment, several, span, visible } from '../format.js';
import { plot } from '../plot.js';
import { poll } from '../poll.js';

// Of so many of the newest backups the full ones are plotted.
const PLOTTED = 60;
// Of so many looks one asks anew what is known of each of them: they are found damaged, tested and verified.
const ANEW = 12;

export async function overview(view, _query, signal) {
  const cards = h('div', { class: 'cards' });
  const plots = h('div', { class: 'plots' });
  const now = h('button', { type: 'button', class: 'primary', onclick: () => backUp(now, view) }, 'Back up now');
  put(view, mayChange() ? h('p', { class: 'buttons' }, now) : null, cards, plots);
  let plotted = '';
  let looks = 0;
  await poll(async () => {
    const isAnew = looks % ANEW === 0;
    // Before it waits: what comes meanwhile may ask for the next look to be anew.
    looks += 1;
    const list = get('listbackups', {}, signal).then((ids) => describe(ids.slice(-PLOTTED), signal, isAnew));
    const [health, listed] = await Promise.allSettled([get('health', {}, signal), list]);
    if (isAnew && [health, listed].some(({ status }) => status === 'rejected')) looks = 0;
    if (health.status === 'rejected') throw health.reason;
    // How the server is is shown also where backups cannot be listed, and may say why.
    redraw(cards, tell(health.value, listed.value ?? []));
    if (listed.status === 'rejected') throw listed.reason;
    const backups = listed.value;
    const seen = backups.map(({ id, failed, valid }) => `${id} ${failed} ${valid}`).join();
    if (seen !== plotted) put(plots, draw(backups));
    plotted = seen;
  }, signal, 5_000, (name, data) => {
    if (name !== 'job.ended') return name === 'health';
    // A test or a verification tells something new of a backup that is there, or of any.
    if (data.vault) forget(data.vault);
    else looks = 0;
    return true;
  });
}

async function backUp(button, view) {
  button.disabled = true;
  try {
    location.hash = link('job', { id: await begin('backup') });
  } catch (error) {
    button.disabled = false;
    view.prepend(wrong(error));
  }
}

function card(title, ...content) {
  return h('section', { class: 'card' }, h('h2', {}, title), content);
}

function line(...content) {
  return h('p', {}, content);
}

function tell(health, backups) {
  const { storage, zookeeper, schedule } = health;
  const good = storage.lastSuccessful;
  const tested = backups.filter((backup) => backup.tested).sort((a, b) => a.tested.at.localeCompare(b.tested.at)).at(-1);
  return [
    card('Status',
      h('p', { class: 'status' }, h('span', { class: `badge ${health.status === 'UP' ? 'good' : 'bad'}` }, health.status)),
      health.problems ? h('ul', {}, health.problems.map((problem) => h('li', { class: 'bad' }, visible(problem)))) : line('Nothing is wrong.'),
      health.role ? line(`This server is the ${health.role}${health.leader ? `; ${health.leader} leads` : ''}.`) : null),
    card('Last success', good ? [
      line(h('a', { class: 'id', href: link('backup', { id: good.id }) }, good.id)),
      line(moment(good.ts)),
      line(`${bytes(good.metrics.size)} in ${duration(good.metrics.spent_time)}`),
    ] : line('There is no good backup yet.')),
    card('Next run', schedule ? [
      line(schedule.next ? moment(schedule.next) : 'not known'),
      line(h('code', {}, schedule.cron), ' (UTC)'),
      schedule.missed > 0 ? line(`${several(schedule.missed, 'run')} missed`) : null,
    ] : line('No schedule is set: backups are taken when they are asked for.'),
    health.backup_queue_size > 0 ? line(h('a', { href: link('jobs') }, several(health.backup_queue_size, 'job')), ' waiting') : null),
    card('ZooKeeper', zookeeper ? [
      h('p', { class: zookeeper.reachable ? 'good' : 'bad' }, zookeeper.reachable ? 'reachable' : 'not reachable'),
      zookeeper.version ? line(`${visible(zookeeper.version)}${zookeeper.mode ? `, ${visible(zookeeper.mode)}` : ''}`) : null,
      zookeeper.error ? h('p', { class: 'bad' }, visible(zookeeper.error)) : null,
    ] : line('It has not been asked yet.')),
    card('Storage',
      line(`${several(storage.dump_count, 'backup')}, ${bytes(storage.size)}`),
      storage.where ? line(visible(storage.where)) : null,
      storage.total_space > 0 ? line(`${bytes(storage.free_space)} free of ${bytes(storage.total_space)}`) : null),
    card('Last restore test', tested ? [
      line(h('a', { class: 'id', href: link('backup', { id: tested.id }) }, tested.id), ' ', moment(tested.tested.at)),
      tested.tested.difference ? h('p', { class: 'bad' }, visible(tested.tested.difference))
        : h('p', { class: 'good' }, `exact: ${several(tested.tested.znodes, 'znode')} compared`),
    ] : line(health.seconds_since_proof === undefined ? 'No backup was restored for a test.' : `${span(health.seconds_since_proof)} ago, and nothing differed.`)),
  ];
}

// Others, also those that were taken before a restore, hold more or less, so that their figures say nothing of how it goes.
function draw(backups) {
  const full = backups.filter((backup) => !backup.unread && !backup.is_granular && !backup.before_restore_of);
  const points = (value) => full.map((backup) => ({ value: value(backup), text: backup.id, bad: backup.failed || !backup.valid }));
  return [
    plot('Size', points((backup) => leading(backup.size)), bytes),
    plot('Duration', points((backup) => leading(backup.spent_time)), duration),
  ];
}
