// What the server tells by itself: one stream for the whole page, while somebody looks at it. A browser has six connections to a server for all its tabs.

import { address } from './api.js';

const NAMES = ['health', 'job.begun', 'job.progress', 'job.ended'];
// A server that has none for us, as too many listen or something in between knows no streams, is asked again so late.
const AGAIN = 60_000;

const listeners = new Set();
let source = null;
let again = 0;
// A stream begins with health: until that came, something in between may keep all of it back.
let isHeard = false;
let isStandby = false;

/** Calls `hears` with the name of each event and what it tells, and with `open` where some may have been missed. */
export function listen(hears, signal) {
  if (signal.aborted) return;
  listeners.add(hears);
  signal.addEventListener('abort', () => listeners.delete(hears), { once: true });
}

/** Whether what changes is told: a standby knows nothing of the jobs of the leader. */
export function tells() {
  return isHeard && !isStandby;
}

function tell(name, data) {
  for (const hears of listeners) hears(name, data);
}

function begin() {
  clearTimeout(again);
  if (source || document.hidden) return;
  const stream = new EventSource(address('events'));
  source = stream;
  stream.addEventListener('open', () => tell('open'));
  stream.addEventListener('error', () => {
    isHeard = false;
    // Else the browser tries again by itself.
    if (stream.readyState !== EventSource.CLOSED || source !== stream) return;
    end();
    again = setTimeout(begin, AGAIN);
  });
  for (const name of NAMES) {
    stream.addEventListener(name, (event) => {
      const data = JSON.parse(event.data);
      if (name === 'health') {
        isHeard = true;
        isStandby = data.role === 'standby';
      }
      tell(name, data);
    });
  }
}

function end() {
  clearTimeout(again);
  source?.close();
  source = null;
  isHeard = false;
}

document.addEventListener('visibilitychange', () => (document.hidden ? end() : begin()));
// What is kept to be shown again, when somebody goes back, holds no connection meanwhile.
addEventListener('pagehide', end);
addEventListener('pageshow', begin);
