// One backup: what it is, its log, and its znodes.

import { address, begin, get, getText, mayChange, ofBackup } from '../api.js';
import { holds, standing } from '../described.js';
import { facts, h, link, put, wrong } from '../dom.js';
import { bytes, code, count, duration, leading, moment, visible, visibleText, zxid } from '../format.js';
import { poll } from '../poll.js';
import { znodes } from '../znodes.js';
import { readZnode, znodeView } from '../znode.js';
import { pinButton } from './backups.js';

export async function backup(view, query, signal) {
  const id = query.get('id') ?? 'latest';
  let found = await get(ofBackup(id), {}, signal);
  const pending = h('p', { class: 'box' }, 'It is not finished. ', h('a', { href: link('job', { id }) }, 'Its job'));
  if (found.locked) {
    put(view, pending);
    const ended = (name, data) => name === 'job.ended' && data.vault === id;
    await poll(async () => !(found = await there(id, signal))?.locked, signal, 1_000, ended);
    if (signal.aborted) return;
    if (!found) {
      put(view, h('p', { class: 'box' }, 'There is no such backup any more. ', h('a', { href: link('job', { id }) }, 'Its job'), ' tells what became of it.'));
      return;
    }
  }
  put(view, head(found), about(found), log(found, signal));
  const isOpen = found.exit_code !== 1 && !found.sealed;
  if (isOpen) await contents(view, found, query.get('path'), signal);
}

/** What is known of it; null where it is gone, as one is whose job was called off. */
async function there(id, signal) {
  try {
    return await get(ofBackup(id), {}, signal);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

function head(backup) {
  const { id } = backup;
  const ask = (label, path) => h('button', { type: 'button', onclick: (event) => start(event.target, path) }, label);
  const changes = mayChange() ? [
    backup.failed ? null : h('a', { class: 'button primary', href: link('restore', { id }) }, 'Restore…'),
    pinButton(backup),
    ask('Verify', `verify/${encodeURIComponent(id)}`),
    backup.failed ? null : ask('Restore for a test', `restoretest/${encodeURIComponent(id)}`),
    h('a', { class: 'button', href: address(`backup/${encodeURIComponent(id)}`), download: `${id}.zip` }, 'Download'),
  ] : null;
  return [
    h('h2', {}, code(id), ' ', standing(backup)),
    h('p', { class: 'buttons' }, changes, h('a', { class: 'button', href: link('diff', { from: id, to: 'live' }) }, 'Compare with now')),
  ];
}

async function start(button, path) {
  button.disabled = true;
  try {
    location.hash = link('job', { id: await begin(path) });
  } catch (error) {
    button.disabled = false;
    button.after(wrong(error));
  }
}

function about(backup) {
  const { skipped, moving } = backup;
  const left = skipped && Object.entries(skipped).filter(([, value]) => typeof value === 'number' && value > 0).map(([what, number]) => `${count(number)} ${what}`).join(', ');
  return [
    backup.exception ? h('p', { class: 'bad box' }, visible(backup.exception)) : null,
    facts([
      ['Date', moment(backup.ts)],
      ['Holds', visible(holds(backup))],
      ['Znodes', backup.znodes === null ? null : count(backup.znodes)],
      ['Size', bytes(leading(backup.size))],
      ['Took', duration(leading(backup.spent_time))],
      ['Storage', backup.storage_name ? visible(backup.storage_name) : null],
      ['Mode', backup.mode],
      ['Consistency', backup.consistency],
      ['Newest transaction', backup.zxid ? zxid(backup.zxid.newest) : null],
      ['Left out', left],
      ['Lacks', backup.lacks ? h('ul', {}, backup.lacks.map((what) => h('li', {}, visible(what)))) : null],
      ['Kept changing', moving?.count > 0 ? count(moving.count) : null],
      ['Verified', moment(backup.verified_at)],
      ['Restored for a test', backup.tested ? [moment(backup.tested.at), ' ', backup.tested.difference ? h('span', { class: 'bad' }, visible(backup.tested.difference)) : h('span', { class: 'good' }, 'exact')] : null],
      ['Kept by its bucket until', backup.locked_until === undefined ? null : moment(backup.locked_until) ?? 'not known'],
      ['Damage', backup.damage ? h('ul', {}, backup.damage.map((damage) => h('li', { class: 'bad' }, visible(`${damage.file}: ${damage.what}`)))) : null],
      ['Format', String(backup.format)],
    ]),
    skipped?.unreadable_paths?.length > 0 ? h('details', {}, h('summary', {}, 'What could not be read'), h('ul', {}, skipped.unreadable_paths.map((path) => h('li', {}, code(path))))) : null,
  ];
}

function log(backup, signal) {
  const text = h('pre', { class: 'data', tabindex: 0, 'aria-label': 'Log' }, '…');
  const details = h('details', {}, h('summary', {}, 'Log'), text);
  details.addEventListener('toggle', async () => {
    if (!details.open) return;
    try {
      put(text, visibleText(await getText(ofBackup(backup.id, '/log'), {}, signal)));
    } catch (error) {
      if (!signal.aborted) put(text, error.message);
    }
  });
  return details;
}

async function contents(view, backup, path, signal) {
  const detail = h('div', { class: 'detail' }, h('p', { class: 'dim' }, 'Choose a znode.'));
  const failed = (error) => put(detail, wrong(error));
  let wanted = null;

  async function pick(path) {
    wanted = path;
    try {
      const znode = await readZnode(backup.id, path, signal);
      if (wanted === path) put(detail, znode ? znodeView(backup.id, znode) : h('p', {}, 'The backup has no znode ', code(path), '.'));
    } catch (error) {
      if (!signal.aborted && wanted === path) failed(error);
    }
  }

  const tree = znodes(backup.id, { pick, failed, signal });
  view.append(h('h2', {}, 'Znodes'), h('div', { class: 'split' }, tree.element, detail));
  await tree.begin();
  if (path) await pick(path);
}
