// The page as a whole: which part is shown, and what all of them share.

import { get } from './api.js';
import { h, put, wrong } from './dom.js';
import { backup } from './pages/backup.js';
import { backups } from './pages/backups.js';
import { diff } from './pages/diff.js';
import { history } from './pages/history.js';
import { job, jobs } from './pages/jobs.js';
import { overview } from './pages/overview.js';
import { restore } from './pages/restore.js';
import { retention } from './pages/retention.js';
import { trouble } from './poll.js';

// Each is called with its element, the query behind its name, and a signal that it was left.
const PAGES = {
  overview: ['Overview', overview],
  backups: ['Backups', backups],
  backup: ['Backup', backup],
  diff: ['Diff', diff],
  history: ['History', history],
  restore: ['Restore', restore],
  jobs: ['Jobs', jobs],
  job: ['Job', job],
  retention: ['Retention', retention],
};
// Under which entry of the menu a page is that has none of its own.
const WITHIN = { backup: 'backups', job: 'jobs' };

const main = document.getElementById('main');
let left = new AbortController();

async function show(focus) {
  left.abort();
  left = new AbortController();
  const { signal } = left;
  const [name, query] = location.hash.replace(/^#\/?/, '').split('?', 2);
  const [title, page] = PAGES[name] ?? PAGES.overview;
  const within = WITHIN[name] ?? (PAGES[name] ? name : 'overview');
  for (const entry of document.querySelectorAll('nav a')) {
    if (entry.getAttribute('href') === `#/${within}`) entry.setAttribute('aria-current', 'page');
    else entry.removeAttribute('aria-current');
  }
  document.title = `${title} · zk-backup`;
  trouble(null);
  const view = h('div', { class: 'page' });
  put(main, h('h1', {}, title), view);
  window.scrollTo(0, 0);
  if (focus) main.focus();
  try {
    await page(view, new URLSearchParams(query ?? ''), signal);
  } catch (error) {
    if (!signal.aborted) view.append(wrong(error));
  }
}

document.getElementById('skip').addEventListener('click', () => main.focus());
addEventListener('hashchange', () => show(true));

try {
  const caller = await get('ui/caller');
  document.body.classList.toggle('looks-only', !caller.may_change);
  put(document.getElementById('about'), `zk-backup ${caller.version}`,
    caller.may_change ? null : ' · these credentials look, and change nothing');
} catch (error) {
  trouble(error.message);
}
show(false);
