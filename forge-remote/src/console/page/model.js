// The page's data: the app, its handlers and the last calls. Views subscribe to the changes.

import { get } from './api.js';
import { newest } from './timing.js';

/** As many calls as `dev` keeps. */
const LIMIT = 500;

export const model = {
  app: null,
  handlers: [],
  /** The calls by id, oldest first. */
  calls: new Map(),
  /** The newest call of each handler, by the handler's id. */
  newest: new Map(),
};

const subscribers = { handlers: [], calls: [], log: [] };

/**
 * Runs `view` after each change. For `calls` it gets the ids that changed, for `log` the id of the call
 * whose log grew; `null` if it can be any call.
 */
export const subscribe = (topic, view) => subscribers[topic].push(view);

export const publish = (topic, value) => subscribers[topic].forEach((view) => view(value));

export const handler = (id) => model.handlers.find((one) => one.id === id);

const readHandlers = newest(() => get('/handlers'));

export async function loadHandlers() {
  const handlers = await readHandlers();
  if (handlers === null) return;
  model.handlers = handlers;
  publish('handlers');
}

export async function loadCalls() {
  const { calls } = await get('/calls');
  calls.forEach(putCall);
}

/** The least time between two updates of the views, in milliseconds. */
const PERIOD = 100;

let changed = new Set();
let isScheduled = false;
let updated = 0;
let forgotten = 0;

/** Takes a call's newest state. A busy app has many in a moment, so the views are updated once for all of them. */
export function putCall(call) {
  const known = model.calls.get(call.id);
  // The listing and the stream overlap: an ended call does not run again.
  const isStale = known ? known.outcome !== 'running' && call.outcome === 'running' : call.id <= forgotten;
  if (isStale) return;
  model.calls.set(call.id, call);
  for (const name of [call.handler, call.fires])
    if (name && (model.newest.get(name)?.id ?? 0) <= call.id) model.newest.set(name, call);
  changed.add(call.id);
  while (model.calls.size > LIMIT) {
    forgotten = Math.min(...model.calls.keys());
    model.calls.delete(forgotten);
    changed.delete(forgotten);
  }
  if (isScheduled) return;
  isScheduled = true;
  setTimeout(() => requestAnimationFrame(update), updated + PERIOD - performance.now());
}

function update() {
  isScheduled = false;
  updated = performance.now();
  const ids = changed;
  changed = new Set();
  publish('calls', ids);
}
