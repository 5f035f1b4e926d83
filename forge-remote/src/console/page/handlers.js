// The view of handlers: each with its facts and a form that calls it.

import { composer } from './composer.js';
import { button, empty, fact, fill, h, interval, millis, moment, setText } from './dom.js';
import { outcomeOf, status } from './labels.js';
import { handler, model, subscribe } from './model.js';

export function handlersView({ navigate }) {
  const rows = new Map();
  let selected = null;
  const list = h.div({ class: 'rows', role: 'list', 'aria-label': 'Handlers', onclick: clicked });
  const detail = h.div({ class: 'detail', role: 'region', 'aria-label': 'Handler' });
  const facts = h.dl({ class: 'facts' });
  const element = h.section(
    { class: 'split handlers', 'aria-label': 'Handlers' },
    h.div(
      { class: 'side', role: 'region', 'aria-label': 'List of handlers' },
      h.div(
        { class: 'row head', 'aria-hidden': 'true' },
        ['Handler', 'Attribute', 'Path', 'Last', ''].map((name) => h.span(name)),
      ),
      list,
    ),
    detail,
  );

  subscribe('handlers', () => {
    if (model.handlers.length !== rows.size) {
      rows.clear();
      fill(
        list,
        model.handlers.map((one) => {
          const last = h.span({ class: 'status' });
          const link = h.a({ class: 'key', href: address(one.id) }, one.id);
          const row = h.div(
            { class: 'row', role: 'listitem', id: `handler-${one.id}` },
            link,
            h.span({ class: 'dim' }, one.attribute),
            h.span({ class: 'dim mono' }, `${one.method} ${one.path}`),
            last,
            button('Call', () => call(one.id), { class: 'quiet', 'aria-label': `Call ${one.id}` }),
          );
          row.dataset.id = one.id;
          rows.set(one.id, { row, link, last });
          return row;
        }),
      );
      results();
    }
    if (selected !== null && handler(selected)) drawFacts(handler(selected));
  });

  subscribe('calls', results);

  function results() {
    for (const [id, { row, last }] of rows) {
      const call = model.newest.get(id);
      if (!call) continue;
      row.dataset.outcome = call.outcome;
      setText(last, status(call));
      last.title = `The last call: ${outcomeOf(call)}`;
    }
  }

  function drawFacts(one) {
    const list = (values) => values.length > 0 && values.map((value) => h.code(value));
    fill(
      facts,
      fact('Module', one.kind),
      one.id !== one.key && fact('Key', h.code(one.key)),
      fact('Endpoint', one.endpoint && h.code(one.endpoint)),
      fact('Path', h.code(`${one.method} ${one.path}`)),
      fact('Tokens', one.tokens.length > 0 ? one.tokens.join(', ') : 'none'),
      one.scopes.length > 0 && fact('Scopes', list(one.scopes)),
      one.events.length > 0 && fact('Events', list(one.events)),
      one.interval_seconds && fact('Interval', interval(one.interval_seconds)),
      one.cron && fact('Cron', h.code(one.cron.expression), ` in ${one.cron.tz}`),
      one.next_calls.length > 0 && fact('Next call', one.is_paused ? 'paused' : moment(one.next_calls[0].at)),
      one.is_durable && fact('Durable', 'the call is stored as a job, then run'),
      fact('Source', h.code(one.source)),
    );
  }

  function open(id) {
    const one = handler(id);
    const before = rows.get(selected);
    before?.row.classList.remove('selected');
    before?.link.removeAttribute('aria-current');
    const isOther = selected !== id;
    selected = id;
    if (!one) {
      fill(detail, empty('No such handler', 'The app has no handler with the key ', h.code(id), '.'));
      return;
    }
    const { row, link } = rows.get(id);
    row.classList.add('selected');
    link.setAttribute('aria-current', 'true');
    row.scrollIntoView({ block: 'nearest' });
    drawFacts(one);
    if (!isOther) return;
    fill(
      detail,
      h.div(
        { class: 'detail-head' },
        h.h2(h.span({ class: 'name' }, one.id)),
        one.docs && h.p({ class: 'dim' }, one.docs),
      ),
      h.div({ class: 'detail-body' }, facts, composer({ handler: one, sent: showResult })),
    );
    detail.scrollTop = 0;
  }

  /** The result beside the button, so that the form stays for another call. */
  function showResult(id, place) {
    const call = model.calls.get(id);
    fill(
      place,
      h.a(
        { href: `#/calls/${id}`, 'data-outcome': call?.outcome },
        call ? `${status(call)} ${outcomeOf(call)} in ${millis(call.elapsed_ms)}` : 'The call has ended',
        ` (call ${id})`,
      ),
    );
  }

  const address = (id) => `#/handlers/${encodeURIComponent(id)}`;
  const select = (id) => navigate(address(id).slice(1), { replaces: true });

  /** Calls a handler with the body that its form has. */
  function call(id) {
    select(id);
    detail.querySelector('form')?.requestSubmit();
  }

  function clicked(event) {
    const row = event.target.closest('.row');
    if (!row || event.target.closest('button')) return;
    event.preventDefault();
    select(row.dataset.id);
  }

  function move(step) {
    const ids = model.handlers.map((one) => one.id);
    const at = Math.min(Math.max(ids.indexOf(selected) + step, 0), ids.length - 1);
    if (ids[at] !== undefined) select(ids[at]);
  }

  return {
    element,
    show(id) {
      const wanted = id ?? selected ?? model.handlers[0]?.id;
      if (wanted !== undefined) open(wanted);
      else
        fill(
          detail,
          empty(
            'No handlers',
            'Annotate an async function, for example with ',
            h.code('#[scheduled_trigger(interval = "hour")]'),
            '.',
          ),
        );
    },
    key(name) {
      if (name === 'j' || name === 'ArrowDown') move(1);
      else if (name === 'k' || name === 'ArrowUp') move(-1);
      else if (name === 'r') detail.querySelector('form')?.requestSubmit();
      else if (name === 'e' || name === 'Enter') detail.querySelector('textarea')?.focus();
      else return false;
      return true;
    },
  };
}
