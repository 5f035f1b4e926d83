// The console's API: the secret of this start of `dev`, requests, and the stream of events.

const STORED = 'forge-remote.console.secret';
const FIRST_DELAY = 500;
const LAST_DELAY = 10_000;
// The stream has a comment line every 15 s.
const SILENCE = 40_000;

let secret = sessionStorage.getItem(STORED);

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Moves the secret from the link's fragment into this tab's storage. Routes of the page begin with `#/`. */
export function takeSecret() {
  const fragment = location.hash.slice(1);
  if (fragment === '' || fragment.startsWith('/')) return false;
  secret = fragment;
  sessionStorage.setItem(STORED, secret);
  history.replaceState(null, '', location.pathname);
  return true;
}

export const hasSecret = () => secret !== null;

async function open(path, options = {}) {
  const headers = { 'x-console-secret': secret };
  if (options.method === 'POST') headers['content-type'] = 'application/json';
  let response;
  try {
    response = await fetch(`/console/api${path}`, { cache: 'no-store', ...options, headers });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError('`dev` does not respond: is it still running?', 0);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  throw new ApiError(body.error ?? `${response.status} ${response.statusText}`, response.status);
}

export const get = async (path, options) => (await open(path, options)).json();

export const post = async (path, body = {}) =>
  (await open(path, { method: 'POST', body: JSON.stringify(body) })).json();

/**
 * Follows the stream of events, and reconnects with increasing delays. Resolves when the secret is wrong.
 * `connected` runs after each connection, before the events that have arrived since.
 */
export async function follow({ connected, received, changed }) {
  for (let delay = FIRST_DELAY; ; delay = Math.min(delay * 2, LAST_DELAY)) {
    const connection = new AbortController();
    let silence;
    const alive = () => {
      clearTimeout(silence);
      silence = setTimeout(() => connection.abort(), SILENCE);
    };
    try {
      const response = await open('/events', { signal: connection.signal });
      alive();
      await connected();
      changed('live');
      delay = FIRST_DELAY;
      for await (const { name, data } of messages(response.body, alive)) received(name, data);
    } catch (error) {
      if (error.status === 401) return;
      if (!isLost(error)) console.error(error);
    } finally {
      clearTimeout(silence);
      connection.abort();
    }
    changed('lost');
    await retry(delay * (0.75 + Math.random() / 2));
  }
}

/** Returns whether an error is a broken connection; each browser has its own message. */
const isLost = (error) =>
  error instanceof ApiError || error.name === 'AbortError' || /network|load failed|input stream/i.test(error.message);

let wake = () => {};

/** Ends the wait for the next attempt. */
export const reconnect = () => wake();

async function retry(delay) {
  await new Promise((resolve) => {
    wake = resolve;
    setTimeout(resolve, delay);
  });
  wake = () => {};
}

/** The events of a stream, as `text/event-stream` frames them. */
async function* messages(body, alive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    const frames = (rest + value).replaceAll('\r\n', '\n').split('\n\n');
    rest = frames.pop();
    for (const frame of frames) {
      const fields = { event: 'message', data: [] };
      for (const line of frame.split('\n')) {
        const [, name, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
        if (name === 'event') fields.event = text;
        if (name === 'data') fields.data.push(text);
      }
      if (fields.data.length > 0) yield { name: fields.event, data: JSON.parse(fields.data.join('\n')) };
    }
  }
}
