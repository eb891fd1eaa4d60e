// What is known of backups, and a few requests at once for what is not.

import { get, ofBackup } from './api.js';
import { h } from './dom.js';

const AT_ONCE = 4;
const known = new Map();

/** Describes backups in this order. One that was removed meanwhile is left out, and one that cannot be read says so. What was asked for lately may be asked for `anew`. */
export async function describe(ids, signal, anew = false) {
  const left = ids.filter((id) => anew || (known.get(id)?.unread ?? true));
  const work = async () => {
    while (left.length > 0) {
      const id = left.shift();
      try {
        const before = known.get(id);
        const told = await get(ofBackup(id), {}, signal);
        // An answer that was asked for later tells more.
        if (known.get(id) === before) learn(told);
      } catch (error) {
        if (error.status === 404) known.delete(id);
        else if (error.code === 'storage_failed') known.set(id, unread(id, error));
        else throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return ids.map((id) => known.get(id)).filter(Boolean);
}

// It hides none of the others, and is of no use until it was asked for again.
function unread(id, { message }) {
  return { id, unread: true, exception: message, failed: true, valid: false, locked: false, pinned: null, db_list: null };
}

/** Lets a backup be asked for again. */
export function forget(id) {
  known.delete(id);
}

/** Takes in what an answer has told of a backup. */
export function learn(backup) {
  known.set(backup.id, { ...backup, unread: false });
}

/** How a backup is, in a word. */
export function standing(backup) {
  const [word, look] = state(backup);
  return h('span', { class: `badge ${look}` }, word);
}

function state(backup) {
  return backup.unread ? ['cannot be read', 'bad']
    : backup.locked ? ['in work', 'changed']
    : backup.exit_code === 2 && backup.valid === false ? ['partial', 'changed']
    : backup.failed ? ['failed', 'bad']
    : !backup.valid ? ['damaged', 'bad']
    : ['good', 'good'];
}

/** A backup as a choice among others says it, in plain text. */
export function named(backup) {
  const [word] = state(backup);
  return [backup.id, word === 'good' ? null : word, before(backup)].filter(Boolean).join(', ');
}

/** For what it was taken, where that was for the way back from a restore. */
export function before(backup) {
  return backup.before_restore_of ? `before a restore of ${backup.before_restore_of}` : null;
}

/** The storage that it is in, where there are several. */
export function storage(backup) {
  return backup.storage_name ? `in ${backup.storage_name}` : null;
}

/** What a backup holds, in a few words. */
export function holds(backup) {
  if (backup.sealed) return 'sealed: no identity is here that opens it';
  return Array.isArray(backup.db_list) ? backup.db_list.join(', ') : backup.db_list ?? 'not known';
}
