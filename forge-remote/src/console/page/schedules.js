// The view of schedules, Forge's intervals and cron expressions: the next calls with a countdown, and buttons that
// call now or pause.

import { post } from './api.js';
import { button, clock, container, draw, empty, h, heads, interval, millis, moment, until } from './dom.js';
import { outcomeOf, status } from './labels.js';
import { loadHandlers, model, subscribe } from './model.js';

/** A coming call: an occurrence of a cron expression in its time zone. */
const time = (call) => call.local ?? moment(call.at);

/** The time of an occurrence in the browser's time zone. */
const here = (call) => (call?.local ? `${new Date(call.at).toLocaleString()} in your time zone` : null);

const isScheduled = (handler) => handler.interval_seconds !== null || handler.cron !== null;

export function schedulesView() {
  const element = container('section', { class: 'page', 'aria-label': 'Schedules' });
  let ticking = null;
  let note = null;

  async function run(work) {
    note = null;
    try {
      await work();
    } catch (error) {
      note = error.message;
    }
    update();
  }

  const fire = ({ key }) =>
    run(async () => {
      const { id } = await post(`/schedules/${encodeURIComponent(key)}/fire`);
      note = h.a({ href: `#/calls/${id}` }, `Called ${key}: call ${id}`);
    });

  const pause = ({ key, is_paused }) =>
    run(async () => {
      await post(`/schedules/${encodeURIComponent(key)}/${is_paused ? 'resume' : 'pause'}`);
      await loadHandlers();
    });

  function row(one) {
    const last = model.newest.get(one.id);
    const [next, ...later] = one.is_paused ? [] : one.next_calls;
    return h.tr(
      { key: one.id, 'data-key': one.key, 'data-outcome': last?.outcome },
      h.th({ scope: 'row' }, h.a({ href: `#/handlers/${encodeURIComponent(one.id)}` }, one.id)),
      h.td(
        { class: 'rule' },
        one.cron ? `${one.cron.expression} in ${one.cron.tz}` : `every ${interval(one.interval_seconds)}`,
      ),
      h.td(
        { class: 'number', title: here(next) },
        next ? `${time(next)}  in ${until(next.at)}` : one.is_paused ? 'paused' : 'not planned',
      ),
      h.td(
        { class: 'number dim then', title: later.map(here).join('\n') },
        later.slice(0, one.cron ? 4 : 2).map((call, at) => [at > 0 && ', ', h.span(time(call))]),
      ),
      h.td(
        { class: 'number' },
        last ? `${clock(last.at)}  ${status(last)} ${outcomeOf(last)} ${millis(last.elapsed_ms)}` : 'none',
      ),
      h.td(
        { class: 'act' },
        button('Fire now', () => fire(one), { class: 'fire' }),
        button(one.is_paused ? 'Resume' : 'Pause', () => pause(one), { class: 'pause' }),
      ),
    );
  }

  function update() {
    const { speed } = model.app;
    const scheduled = model.handlers.filter(isScheduled);
    draw(
      element,
      speed > 1 &&
        h.p({ class: 'dim' }, `Intervals pass ${speed} times faster (--speed ${speed}); cron expressions follow the clock.`),
      scheduled.length > 0
        ? h.table(
            { class: 'schedules' },
            heads('Handler', 'Schedule', 'Next call', 'Then', 'Last call', null),
            h.tbody(scheduled.map(row)),
          )
        : empty(
            'No schedules',
            'A function with ',
            h.code('#[scheduled_trigger(interval = "hour")]'),
            ' is called on a schedule.',
          ),
      scheduled.some((one) => one.cron?.waits_for_clock) &&
        h.p(
          { class: 'dim' },
          'The app has no engine (',
          h.code('App::jobs'),
          "), so a cron expression's handler runs at the clock's first call after each occurrence.",
        ),
      h.p({ class: 'result', role: 'status' }, note),
    );
  }

  const updateIfShown = () => element.hidden || update();
  subscribe('handlers', updateIfShown);
  subscribe('calls', updateIfShown);

  // The countdown has ended: the next occurrence is a new one.
  const isDue = () => model.handlers.some((one) => !one.is_paused && one.next_calls[0]?.at < Date.now() - 500);

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
