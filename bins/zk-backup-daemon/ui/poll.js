// Asking again and again: after a while, and as soon as the server tells that something has changed.

import { Failed } from './api.js';
import { listen, tells } from './stream.js';

const LONGEST = 30_000;
// What is told need not be asked for as often.
const SELDOM = 3;

/**
 * Does `step` again and again, until it answers true or the page is left: `every` so many milliseconds, and at once when the server tells something for
 * which `hears` answers true, with what it tells. While the server does not answer it is asked less and less often; while nobody looks it is not asked at all.
 */
export async function poll(step, signal, every = 1_000, hears = () => false) {
  let pause = every;
  let news = null;
  let wake = () => {};
  const rest = (ms) => new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    wake = () => { clearTimeout(timer); resolve(); };
  });
  listen((name, data) => {
    if (name !== 'open' && !hears(name, data)) return;
    news = { data };
    wake();
  }, signal);
  signal.addEventListener('abort', () => wake(), { once: true });
  while (!signal.aborted) {
    const { data } = news ?? {};
    news = null;
    try {
      if (await step(data)) return;
      pause = every;
      trouble(null);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof Failed)) throw error;
      pause = Math.min(pause * 2, LONGEST);
      trouble(`${error.message} Asking again in ${Math.round(pause / 1000)} s.`);
    }
    if (!news && !signal.aborted) await rest(pause === every && tells() ? every * SELDOM : pause);
    await seen(signal);
  }
}

/** Says what keeps the page from being up to date; null: nothing does. */
export function trouble(text) {
  const banner = document.getElementById('trouble');
  banner.hidden = text === null;
  banner.textContent = text ?? '';
}

function seen(signal) {
  if (!document.hidden) return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => { if (!document.hidden) resolve(); };
    document.addEventListener('visibilitychange', look, { signal });
    signal.addEventListener('abort', resolve, { once: true });
  });
}
