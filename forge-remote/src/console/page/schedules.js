// The view of schedules, Forge's intervals and cron expressions: the next calls with a countdown, and buttons that
// call now or pause.

import { post } from './api.js';
import { button, clock, empty, fill, h, interval, millis, moment, setText, until } from './dom.js';
import { outcomeOf, status } from './labels.js';
import { loadHandlers, model, subscribe } from './model.js';

/** A coming call: an occurrence of a cron expression in its time zone. */
const time = (call) => call.local ?? moment(call.at);

/** The time of an occurrence in the browser's time zone. */
const here = (call) => (call?.local ? `${new Date(call.at).toLocaleString()} in your time zone` : '');

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
        ['Handler', 'Schedule', 'Next call', 'Then', 'Last call', ''].map((name) =>
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
  const waits = h.p(
    { class: 'dim', hidden: true },
    'The app has no engine (',
    h.code('App::jobs'),
    "), so a cron expression's handler runs at the clock's first call after each occurrence.",
  );
  const element = h.section({ class: 'page', 'aria-label': 'Schedules' }, speed, table, waits, none, note);

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
      const { id } = await post(`/schedules/${encodeURIComponent(key)}/fire`);
      fill(note, h.a({ href: `#/calls/${id}` }, `Called ${key}: call ${id}`));
    });

  const pause = (key) =>
    run(async () => {
      const { is_paused } = model.handlers.find((one) => one.key === key);
      await post(`/schedules/${encodeURIComponent(key)}/${is_paused ? 'resume' : 'pause'}`);
      await loadHandlers();
    });

  function createRow({ id, key }) {
    const cells = {
      next: h.td({ class: 'number' }),
      then: h.td({ class: 'number dim then' }),
      last: h.td({ class: 'number' }),
      pause: button('Pause', () => pause(key), { class: 'pause' }),
    };
    const rule = h.td();
    const element = h.tr(
      h.th({ scope: 'row' }, h.a({ href: `#/handlers/${encodeURIComponent(id)}` }, id)),
      rule,
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
    return { element, rule, ...cells };
  }

  function update() {
    const scheduled = model.handlers.filter((one) => one.interval_seconds !== null || one.cron !== null);
    none.hidden = scheduled.length > 0;
    table.hidden = scheduled.length === 0;
    speed.hidden = !(model.app?.speed > 1);
    speed.textContent =
      model.app?.speed > 1
        ? `Intervals pass ${model.app.speed} times faster (--speed ${model.app.speed}); cron expressions follow the clock.`
        : '';
    waits.hidden = !scheduled.some((one) => one.cron?.waits_for_clock);
    for (const one of scheduled) {
      if (!rows.has(one.key)) {
        rows.set(one.key, createRow(one));
        body.append(rows.get(one.key).element);
      }
      const row = rows.get(one.key);
      const last = model.newest.get(one.id);
      const [next, ...later] = one.is_paused ? [] : one.next_calls;
      setText(row.rule, one.cron ? `${one.cron.expression} in ${one.cron.tz}` : `every ${interval(one.interval_seconds)}`);
      setText(row.next, next ? `${time(next)}  in ${until(next.at)}` : one.is_paused ? 'paused' : 'not planned');
      row.next.title = here(next);
      setText(row.then, later.slice(0, one.cron ? 4 : 2).map(time).join(', '));
      row.then.title = later.map(here).join('\n');
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
    model.handlers.some((one) => !one.is_paused && one.next_calls[0]?.at < Date.now() - 500);

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
