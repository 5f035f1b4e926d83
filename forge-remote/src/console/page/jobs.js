// The view of durable jobs: the stored calls by state, to retry or discard.

import { get, post } from './api.js';
import { button, clock, container, draw, empty, h, heads, moment } from './dom.js';
import { model } from './model.js';
import { newest } from './timing.js';

const STATES = ['waiting', 'running', 'failed', 'dead'];
const EMPTY = {
  waiting: 'Stored calls and jobs wait here until they run.',
  running: 'No stored call runs at the moment.',
  failed: 'A job whose attempt failed waits here for a retry.',
  dead: 'A job is dead after its last attempt failed.',
};
const REFRESH = 2000;

export function jobsView() {
  const element = container('section', { class: 'page', 'aria-label': 'Jobs' });
  let state = 'waiting';
  let listed = { jobs: [], count: 0 };
  let note = null;
  let ticking = null;
  // The job whose discarding waits for a confirmation.
  let doubted = null;

  function choose(name) {
    state = name;
    doubted = null;
    listed = null;
    update();
    load();
  }

  const read = newest((wanted) => get(`/jobs?state=${wanted}`));

  async function load() {
    const wanted = state;
    try {
      const found = await read(wanted);
      if (found === null || wanted !== state) return;
      listed = found;
    } catch (error) {
      note = error.message;
    }
    update();
  }

  async function run(id, action) {
    note = null;
    doubted = null;
    try {
      await post(`/jobs/${encodeURIComponent(id)}/${action}`);
    } catch (error) {
      note = error.message;
    }
    await load();
  }

  function doubt(id) {
    doubted = id;
    update();
    element.querySelector('.danger')?.focus();
  }

  const actions = ({ id }) =>
    doubted === id
      ? [
          button('Discard now', () => run(id, 'discard'), { key: 'discard-now', class: 'danger' }),
          button('Keep', () => doubt(null), { key: 'keep' }),
        ]
      : [
          state !== 'running' && button('Retry', () => run(id, 'retry'), { key: 'retry' }),
          button('Discard', () => doubt(id), { key: 'discard' }),
        ];

  const row = (job) =>
    h.tr(
      { key: job.id },
      h.td({ class: 'id' }, job.id),
      h.td({ class: 'handler' }, job.handler),
      h.td({ class: 'installation', title: job.installation_id }, job.installation_id.split('/').at(-1)),
      h.td({ class: 'attempts number' }, `${job.attempts} of ${job.max_attempts}`),
      h.td({ class: 'accepted number' }, clock(job.accepted)),
      h.td({ class: 'next number' }, job.next && moment(job.next)),
      h.td({ class: 'error', title: job.last_error }, job.last_error),
      h.td({ class: 'act' }, actions(job)),
    );

  function table({ jobs, count }) {
    if (jobs.length === 0) return empty(`No ${state} jobs`, EMPTY[state]);
    return [
      h.table(
        { class: 'jobs' },
        heads('Job', 'Handler', 'Installation', 'Attempts', 'Accepted', 'Next', 'Last error', null),
        h.tbody(jobs.map(row)),
      ),
      jobs.length < count && h.p({ class: 'dim' }, `The newest ${jobs.length} of ${count}.`),
    ];
  }

  function update() {
    draw(
      element,
      h.div(
        { class: 'segments', role: 'group', 'aria-label': 'State' },
        STATES.map((name) =>
          button(name[0].toUpperCase() + name.slice(1), () => choose(name), { 'aria-pressed': String(name === state) }),
        ),
      ),
      listed && table(listed),
      h.p({ class: 'result', role: 'status' }, note),
    );
  }

  return {
    element,
    isShown: () => model.app.has_jobs,
    show() {
      update();
      load();
      ticking ??= setInterval(() => document.hidden || load(), REFRESH);
    },
    hide() {
      clearInterval(ticking);
      ticking = null;
    },
    key(name) {
      if (name !== 'Escape' || doubted === null) return false;
      doubt(null);
      return true;
    },
  };
}
