// The view of handlers: each with its facts and a form that calls it.

import { Composer } from './composer.js';
import { button, container, draw, empty, fact, h, interval, millis, moment } from './dom.js';
import { outcomeOf, status } from './labels.js';
import { handler, model, subscribe } from './model.js';
import { createElement } from './preact.js';

const address = (id) => `#/handlers/${encodeURIComponent(id)}`;

export function handlersView({ navigate }) {
  const element = container('section', { class: 'split handlers', 'aria-label': 'Handlers' });
  let selected = null;

  const update = () => draw(element, side(), h.div({ class: 'detail', role: 'region', 'aria-label': 'Handler' }, detail()));
  const updateIfShown = () => element.hidden || update();
  subscribe('handlers', updateIfShown);
  subscribe('calls', updateIfShown);

  const side = () =>
    h.div(
      { class: 'side', role: 'region', 'aria-label': 'List of handlers' },
      h.div(
        { class: 'row head', 'aria-hidden': 'true' },
        ['Handler', 'Attribute', 'Path', 'Last', ''].map((name) => h.span(name)),
      ),
      h.div({ class: 'rows', role: 'list', 'aria-label': 'Handlers' }, model.handlers.map(row)),
    );

  function row(one) {
    const last = model.newest.get(one.id);
    const isSelected = one.id === selected;
    return h.div(
      {
        key: one.id,
        class: isSelected ? 'row selected' : 'row',
        role: 'listitem',
        id: `handler-${one.id}`,
        'data-outcome': last?.outcome,
        onclick: (event) => clicked(event, one.id),
      },
      h.a({ class: 'key', href: address(one.id), 'aria-current': isSelected ? 'true' : null }, one.id),
      h.span({ class: 'dim' }, one.attribute),
      h.span({ class: 'dim mono' }, `${one.method} ${one.path}`),
      h.span({ class: 'status', title: last && `The last call: ${outcomeOf(last)}` }, last && status(last)),
      button('Call', () => call(one.id), { class: 'quiet', 'aria-label': `Call ${one.id}` }),
    );
  }

  function detail() {
    if (selected === null)
      return empty(
        'No handlers',
        'Annotate an async function, for example with ',
        h.code('#[scheduled_trigger(interval = "hour")]'),
        '.',
      );
    const one = handler(selected);
    if (!one) return empty('No such handler', 'The app has no handler with the key ', h.code(selected), '.');
    return [
      h.div(
        { class: 'detail-head' },
        h.h2(h.span({ class: 'name' }, one.id)),
        one.docs && h.p({ class: 'dim' }, one.docs),
      ),
      h.div(
        { class: 'detail-body' },
        h.dl({ class: 'facts' }, facts(one)),
        createElement(Composer, { key: one.id, handler: one, sent: result }),
      ),
    ];
  }

  function open(id) {
    const isOther = selected !== id;
    selected = id;
    update();
    if (!isOther) return;
    element.querySelector('.row.selected')?.scrollIntoView({ block: 'nearest' });
    element.querySelector('.detail').scrollTop = 0;
  }

  const select = (id) => navigate(address(id).slice(1), { replaces: true });
  const form = () => element.querySelector('form');

  /** Calls a handler with the body that its form has. */
  function call(id) {
    select(id);
    form()?.requestSubmit();
  }

  function clicked(event, id) {
    if (event.target.closest('button')) return;
    event.preventDefault();
    select(id);
  }

  function move(step) {
    const ids = model.handlers.map((one) => one.id);
    const at = Math.min(Math.max(ids.indexOf(selected) + step, 0), ids.length - 1);
    if (ids[at] !== undefined) select(ids[at]);
  }

  return {
    element,
    show: (id) => open(id ?? selected ?? model.handlers[0]?.id ?? null),
    key(name) {
      if (name === 'j' || name === 'ArrowDown') move(1);
      else if (name === 'k' || name === 'ArrowUp') move(-1);
      else if (name === 'r') form()?.requestSubmit();
      else if (name === 'e' || name === 'Enter') element.querySelector('textarea')?.focus();
      else return false;
      return true;
    },
  };
}

function facts(one) {
  const list = (values) => values.map((value) => h.code(value));
  const next = one.next_calls[0];
  return [
    fact('Module', one.module_type),
    one.id !== one.key && fact('Key', h.code(one.key)),
    fact('Endpoint', one.endpoint && h.code(one.endpoint)),
    fact('Path', h.code(`${one.method} ${one.path}`)),
    fact('Tokens', one.tokens.length > 0 ? one.tokens.join(', ') : 'none'),
    one.scopes.length > 0 && fact('Scopes', list(one.scopes)),
    one.events.length > 0 && fact('Events', list(one.events)),
    one.interval_seconds && fact('Interval', interval(one.interval_seconds)),
    one.cron && fact('Cron', h.code(one.cron.expression), ` in ${one.cron.tz}`),
    next && fact('Next call', one.is_paused ? 'paused' : (next.local ?? moment(next.at))),
    one.is_durable && fact('Durable', 'the call is stored as a job, then run'),
    fact('Source', h.code(one.source)),
  ];
}

/** The result next to the button, so that the form stays for another call. */
function result(id) {
  const call = model.calls.get(id);
  return h.a(
    { href: `#/calls/${id}`, 'data-outcome': call?.outcome },
    call ? `${status(call)} ${outcomeOf(call)} in ${millis(call.elapsed_ms)}` : 'The call has ended',
    ` (call ${id})`,
  );
}
