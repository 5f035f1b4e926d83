// The view of durable jobs: the stored calls by state, to retry or discard.

import { get, post } from './api.js';
import { button, clock, empty, fill, h, moment, setText } from './dom.js';
import { model } from './model.js';

const STATES = ['waiting', 'running', 'failed', 'dead'];
const EMPTY = {
  waiting: 'Calls of durable handlers wait here until they run.',
  running: 'No stored call runs at the moment.',
  failed: 'A job whose attempt failed waits here for the next one.',
  dead: 'A job is dead after its last attempt failed.',
};
const REFRESH = 2000;

export function jobsView() {
  const rows = new Map();
  let state = 'waiting';
  let ticking = null;
  // The job whose discarding waits for a confirmation.
  let doubted = null;
  const choices = STATES.map((name) =>
    button(name[0].toUpperCase() + name.slice(1), () => choose(name), { 'aria-pressed': String(name === state) }),
  );
  const note = h.p({ class: 'result', role: 'status' });
  const cut = h.p({ class: 'dim' });
  const body = h.tbody();
  const none = h.div();
  const table = h.table(
    { class: 'jobs' },
    h.thead(
      h.tr(
        ['Job', 'Handler', 'Installation', 'Attempts', 'Accepted', 'Next', 'Last error', ''].map((name) =>
          h.th({ scope: 'col', class: name === '' ? 'act' : null }, name || h.span({ class: 'unseen' }, 'Actions')),
        ),
      ),
    ),
    body,
  );
  const element = h.section(
    { class: 'page', 'aria-label': 'Jobs' },
    h.div({ class: 'segments', role: 'group', 'aria-label': 'State' }, choices),
    table,
    cut,
    none,
    note,
  );

  function choose(name) {
    state = name;
    doubted = null;
    choices.forEach((choice, at) => choice.setAttribute('aria-pressed', String(STATES[at] === name)));
    rows.clear();
    fill(body);
    load();
  }

  async function load() {
    const wanted = state;
    try {
      const { jobs, count } = await get(`/jobs?state=${wanted}`);
      if (wanted !== state) return;
      setText(cut, jobs.length < count ? `The newest ${jobs.length} of ${count}.` : '');
      update(jobs);
    } catch (error) {
      note.textContent = error.message;
    }
  }

  function createRow({ id }) {
    const cells = ['id', 'handler', 'installation', 'attempts number', 'accepted number', 'next number', 'error'].map(
      (name) => h.td({ class: name }),
    );
    const act = h.td({ class: 'act' });
    const row = { id, cells, act, element: h.tr(cells, act) };
    drawActions(row);
    return row;
  }

  function drawActions({ id, act }) {
    const answer = (isSure) => {
      doubted = null;
      if (isSure) run(id, 'discard');
      else drawActions(rows.get(id));
    };
    fill(
      act,
      doubted === id
        ? [button('Discard now', () => answer(true), { class: 'danger' }), button('Keep', () => answer(false))]
        : [
            state !== 'running' && button('Retry', () => run(id, 'retry')),
            button('Discard', () => {
              const before = rows.get(doubted);
              doubted = id;
              if (before) drawActions(before);
              drawActions(rows.get(id));
              act.querySelector('.danger').focus();
            }),
          ],
    );
  }

  async function run(id, action) {
    note.textContent = '';
    try {
      await post(`/jobs/${encodeURIComponent(id)}/${action}`);
    } catch (error) {
      note.textContent = error.message;
    }
    await load();
  }

  function update(jobs) {
    const listed = new Set(jobs.map((job) => job.id));
    for (const [id, row] of rows) {
      if (listed.has(id)) continue;
      row.element.remove();
      rows.delete(id);
    }
    for (const job of jobs) {
      if (!rows.has(job.id)) {
        rows.set(job.id, createRow(job));
        body.append(rows.get(job.id).element);
      }
      const texts = [
        job.id,
        job.handler,
        job.installation_id.split('/').at(-1),
        `${job.attempts} of ${job.max_attempts}`,
        clock(job.accepted),
        job.next ? moment(job.next) : '',
        job.last_error ?? '',
      ];
      rows.get(job.id).cells.forEach((cell, at) => setText(cell, texts[at]));
      rows.get(job.id).cells[2].title = job.installation_id;
      rows.get(job.id).cells[6].title = job.last_error ?? '';
    }
    table.hidden = jobs.length === 0;
    if (jobs.length === 0) fill(none, empty(`No ${state} jobs`, EMPTY[state]));
    else fill(none);
  }

  return {
    element,
    isShown: () => model.app.has_jobs,
    show() {
      load();
      ticking ??= setInterval(() => document.hidden || load(), REFRESH);
    },
    hide() {
      clearInterval(ticking);
      ticking = null;
    },
    key(name) {
      if (name !== 'Escape' || doubted === null) return false;
      const row = rows.get(doubted);
      doubted = null;
      drawActions(row);
      return true;
    },
  };
}
