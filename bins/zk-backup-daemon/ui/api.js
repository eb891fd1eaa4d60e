// The REST API: asking, answers, and errors in words.

// Where the API is, also below a path of a proxy and where the address has credentials in it.
const BASE = new URL('../', location.origin + location.pathname);

/** What the server has refused or could not do. `status` is 0 where it does not answer; `isLost`: it may have been done. */
export class Failed extends Error {
  constructor(message, status, code, isLost = false) {
    super(message);
    Object.assign(this, { status, code, isLost });
  }
}

/** The address of a path below the API. */
export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null) url.searchParams.set(key, value);
  }
  return url;
}

async function ask(method, path, { query, body, signal, takes = [] } = {}) {
  const request = { method, signal, cache: 'no-store' };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers = { 'content-type': 'application/json' };
  }
  let response;
  let text;
  try {
    response = await fetch(address(path, query), request);
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw method === 'POST' ? lost(0) : new Failed('The server does not answer.', 0);
  }
  if (response.ok || takes.includes(response.status)) return text;
  const error = told(response.status, text);
  // What is in between has heard nothing of the server.
  throw method === 'POST' && [502, 504].includes(error.status) && !error.code ? lost(error.status) : error;
}

function lost(status) {
  return new Failed('The server has not answered. It may have accepted this all the same.', status, null, true);
}

function told(status, text) {
  let body = text;
  try {
    body = JSON.parse(text);
  } catch {
    // It is from something in between, and no answer of the API.
  }
  if (status === 401) return new Failed('The credentials are missing or wrong. Load this page again to enter them.', status);
  const message = typeof body === 'string' ? body : body?.message;
  return new Failed(message || `The server answers with status ${status}.`, status, body?.code);
}

// An answer of the API. A proxy's page, such as one to sign in, comes with any status.
function parsed(text, otherwise) {
  try {
    return JSON.parse(text);
  } catch {
    throw otherwise;
  }
}

function strange() {
  return new Failed('Something else than the server has answered.', 0);
}

/** What is at a path, as JSON. */
export async function get(path, query, signal) {
  return parsed(await ask('GET', path, { query, signal }), strange());
}

/** The same as text. */
export function getText(path, query, signal) {
  return ask('GET', path, { query, signal });
}

/** Changes something; the answer as JSON. */
export async function post(path, { query, body, signal } = {}) {
  return parsed(await ask('POST', path, { query, body, signal }), lost(0));
}

/** Begins a job, and tells its id, which comes as bare text. */
export async function begin(path, body, signal) {
  const id = await ask('POST', path, { body: body ?? {}, signal });
  if (!/^[\w.:-]+$/.test(id)) throw lost(0);
  return id;
}

/** A job; that of one that failed comes with an error's status. */
export async function job(id, signal) {
  const text = await ask('GET', `jobstatus/${encodeURIComponent(id)}`, { signal, takes: [500] });
  const told = parsed(text, strange());
  if (told.task_id === undefined) throw new Failed(told.message, 500, told.code);
  return told;
}

/** The address of a backup, with what comes behind it. */
export function ofBackup(id, more = '') {
  return `listbackups/${encodeURIComponent(id)}${more}`;
}

/** Whether a job has come to its end. */
export function hasEnded(job) {
  return !['Queued', 'Processing'].includes(job.status);
}

/** Whether the credentials that the page was opened with may change anything. */
export function mayChange() {
  return !document.body.classList.contains('looks-only');
}
