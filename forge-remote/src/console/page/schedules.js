// The view of schedules: the next calls with a countdown, and buttons that call now or pause.

import { post } from './api.js';
import { button, clock, empty, fill, h, interval, millis, moment, setText, until } from './dom.js';
import { outcomeOf, status } from './labels.js';
import { loadHandlers, model, subscribe } from './model.js';

export function schedulesView() {
  const rows = new Map();
  let ticking = null;
  const note = h.p({ class: 'result', role: 'status' });
  const body = h.tbody();
  const speed = h.p({ class: 'dim' });
  const table = h.table(
    { class: 'schedules' },
    h.thead(
      h.tr(
        ['Handler', 'Every', 'Next call', 'Then', 'Last call', ''].map((name) =>
          h.th({ scope: 'col', class: name === '' ? 'act' : null }, name || h.span({ class: 'unseen' }, 'Actions')),
        ),
      ),
    ),
    body,
  );
  const none = empty(
    'No schedules',
    'A function with ',
    h.code('#[scheduled_trigger(interval = "hour")]'),
    ' is called on a schedule.',
  );
  const element = h.section({ class: 'page', 'aria-label': 'Schedules' }, speed, table, none, note);

  async function run(work) {
    note.textContent = '';
    try {
      await work();
    } catch (error) {
      note.textContent = error.message;
    }
  }

  const fire = (key) =>
    run(async () => {
      const { id } = await post(`/handlers/${encodeURIComponent(key)}/call`);
      fill(note, h.a({ href: `#/calls/${id}` }, `Called ${key}: call ${id}`));
    });

  const pause = (key) =>
    run(async () => {
      const { is_paused } = model.handlers.find((one) => one.key === key);
      await post(`/schedules/${encodeURIComponent(key)}/${is_paused ? 'resume' : 'pause'}`);
      await loadHandlers();
    });

  function createRow({ key }) {
    const cells = {
      next: h.td({ class: 'number' }),
      then: h.td({ class: 'number dim' }),
      last: h.td({ class: 'number' }),
      pause: button('Pause', () => pause(key), { class: 'pause' }),
    };
    const every = h.td();
    const element = h.tr(
      h.th({ scope: 'row' }, h.a({ href: `#/handlers/${encodeURIComponent(key)}` }, key)),
      every,
      cells.next,
      cells.then,
      cells.last,
      h.td(
        { class: 'act' },
        button('Fire now', () => fire(key), { class: 'fire' }),
        cells.pause,
      ),
    );
    element.dataset.key = key;
    return { element, every, ...cells };
  }

  function update() {
    const scheduled = model.handlers.filter((one) => one.interval_seconds !== null);
    none.hidden = scheduled.length > 0;
    table.hidden = scheduled.length === 0;
    speed.hidden = !(model.app?.speed > 1);
    speed.textContent =
      model.app?.speed > 1 ? `Schedules run ${model.app.speed} times faster (--speed ${model.app.speed}).` : '';
    for (const one of scheduled) {
      if (!rows.has(one.key)) {
        rows.set(one.key, createRow(one));
        body.append(rows.get(one.key).element);
      }
      const row = rows.get(one.key);
      const last = model.newest.get(one.key);
      const period = (one.interval_seconds * 1000) / (model.app?.speed ?? 1);
      const after = (count) => moment(new Date(one.next_call).getTime() + count * period);
      setText(row.every, interval(one.interval_seconds));
      setText(
        row.next,
        one.is_paused
          ? 'paused'
          : one.next_call
            ? `${clock(one.next_call)}  in ${until(one.next_call)}`
            : 'not planned',
      );
      setText(row.then, one.is_paused || !one.next_call ? '' : `${after(1)}, ${after(2)}`);
      setText(
        row.last,
        last ? `${clock(last.at)}  ${status(last)} ${outcomeOf(last)} ${millis(last.elapsed_ms)}` : 'none',
      );
      row.element.dataset.outcome = last?.outcome ?? '';
      setText(row.pause, one.is_paused ? 'Resume' : 'Pause');
    }
  }

  subscribe('handlers', update);
  subscribe('calls', () => element.hidden || update());

  // The countdown has come to its end: the next occurrence is a new one.
  const isDue = () =>
    model.handlers.some((one) => one.next_call && !one.is_paused && new Date(one.next_call) < Date.now() - 500);

  return {
    element,
    show() {
      update();
      ticking ??= setInterval(() => (isDue() ? loadHandlers().catch(() => {}) : update()), 1000);
    },
    hide() {
      clearInterval(ticking);
      ticking = null;
    },
    key: () => false,
  };
}
