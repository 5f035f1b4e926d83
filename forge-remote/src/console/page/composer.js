// The form that sends a call: event, body, method and Forge Invocation Token. The body is sent byte for byte, and
// the last one is remembered for each handler and event, in this tab.

import { post } from './api.js';
import { button, field, fill, h } from './dom.js';
import { indent, isJson } from './json.js';
import { FORGERIES } from './labels.js';
import { model } from './model.js';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

// Apps share this origin, so the app's id is a part of the name.
const place = (id) => `forge-remote.body ${model.app.app_ids[0] ?? ''} ${id}`;

function remembered(id) {
  try {
    return JSON.parse(sessionStorage.getItem(place(id))) ?? {};
  } catch {
    return {};
  }
}

/** Keeps a body; `undefined` forgets it, so that a sample which changes with the code is not hidden. */
function remember(id, event, body) {
  const { bodies } = remembered(id);
  try {
    sessionStorage.setItem(place(id), JSON.stringify({ event, bodies: { ...bodies, [event ?? '']: body } }));
  } catch {
    // A full storage only forgets.
  }
}

const choice = (options, value, onchange, props) => {
  const select = h.select(
    { onchange, ...props },
    options.map(([name, label]) => h.option({ value: name }, label)),
  );
  select.value = value ?? '';
  return select;
};

/** A form for `handler`. Without `initial` it starts from the remembered body, else from the sample. */
export function composer({ handler, initial, warning, sent, extra }) {
  const events = [...new Set([...handler.samples.map((one) => one.event), ...handler.events].filter(Boolean))];
  const last = initial ?? remembered(handler.id);
  const sample = () =>
    handler.samples.find((one) => one.event === event()) ?? handler.samples[0] ?? { body: null, is_guess: false };
  const event = () => (events.length > 0 ? eventChoice.value : null);
  const hasBody = () => methodChoice.value !== 'GET';

  const eventNames = last.event && !events.includes(last.event) ? [last.event, ...events] : events;
  const eventChoice = choice(
    eventNames.map((name) => [name, name]),
    last.event ?? events[0],
    restore,
  );
  const methodChoice = handler.any_method
    ? choice(
        METHODS.map((name) => [name, name]),
        initial?.method ?? (/^any$/i.test(handler.method) ? 'POST' : handler.method),
        checked,
      )
    : { value: handler.method };
  const forgery = choice([['', 'valid'], ...Object.entries(FORGERIES)], initial?.forgery ?? '', null);
  const subpath = h.input({
    type: 'text',
    value: initial?.subpath ?? '',
    spellcheck: 'false',
    placeholder: '/below',
  });
  const query = h.input({
    type: 'text',
    value: initial?.query ?? '',
    spellcheck: 'false',
    placeholder: 'name=value',
  });
  const retry = h.input({ type: 'number', min: '1', max: '4', value: initial?.retry ?? '', placeholder: 'none' });
  const text = h.textarea({
    rows: '14',
    spellcheck: 'false',
    autocapitalize: 'off',
    autocomplete: 'off',
    oninput: typed,
  });
  const state = h.span({ class: 'dim' });
  const result = h.p({ class: 'result', role: 'status' });
  const send = h.button(
    { type: 'submit', class: 'primary', 'aria-keyshortcuts': 'Control+Enter' },
    initial ? 'Send' : 'Call',
    h.kbd('Ctrl ↵'),
  );
  const reset = button('Use the sample', () => {
    start(sample().body ?? '');
    typed();
  });

  // The text that was shown first, and the bytes that it stands for: an unchanged body is sent as it was.
  let original = { shown: '', bytes: '' };

  function start(bytes) {
    text.value = indent(bytes);
    // The browser changes line ends.
    original = { shown: text.value, bytes };
  }

  const shownSample = () => indent(sample().body ?? '').replace(/\r\n?/g, '\n');

  function restore() {
    start(sample().body ?? '');
    text.value = remembered(handler.id).bodies?.[event() ?? ''] ?? text.value;
    checked();
  }

  const keep = () => remember(handler.id, event(), text.value === shownSample() ? undefined : text.value);

  function typed() {
    keep();
    checked();
  }

  function checked() {
    const isSample = text.value === shownSample();
    text.disabled = !hasBody();
    text.hidden = text.disabled;
    state.textContent =
      warning && text.value === original.shown
        ? warning
        : !hasBody()
          ? 'A GET request has no body.'
          : isSample && sample().is_guess
            ? 'Atlassian documents no body for this call; this one is a guess.'
            : text.value !== '' && !isJson(text.value)
              ? 'Not JSON. It is sent as it is.'
              : !isSample && !initial
                ? 'Your last body, not the sample.'
                : '';
  }

  async function submit(submitted) {
    submitted.preventDefault();
    if (send.disabled) return;
    keep();
    const isOmitted = !hasBody() || (text.value === '' && sample().body === null);
    const changes = {
      method: handler.any_method ? methodChoice.value : undefined,
      event: event() ?? undefined,
      body: isOmitted ? undefined : text.value === original.shown ? original.bytes : text.value,
      subpath: subpath.value || undefined,
      query: query.value || undefined,
      retry: retry.value === '' ? undefined : Number(retry.value),
      forgery: forgery.value || undefined,
    };
    send.disabled = true;
    result.textContent = 'Sending';
    try {
      const { id } = await post(`/handlers/${encodeURIComponent(handler.id)}/call`, changes);
      result.textContent = '';
      sent(id, result);
    } catch (error) {
      result.textContent = error.message;
    }
    send.disabled = false;
  }

  const form = h.form({
    class: 'composer',
    onsubmit: submit,
    onkeydown: (pressed) => {
      if (pressed.key === 'Enter' && (pressed.ctrlKey || pressed.metaKey)) submit(pressed);
    },
  });
  fill(
    form,
    h.div(
      { class: 'fields' },
      events.length > 0 && field('Event', eventChoice, { class: 'field wide' }),
      handler.any_method && field('Method', methodChoice),
      field('Forge Invocation Token', forgery),
    ),
    field(h.span({ class: 'field-line' }, 'Body', state), text),
    h.details(
      { class: 'branch', open: Boolean(subpath.value || query.value || retry.value) },
      h.summary('Path, query and retry'),
      h.div(
        { class: 'fields' },
        field('Path below the handler', subpath),
        field('Query', query),
        field('Retry number', retry),
      ),
    ),
    h.div(
      { class: 'form-end' },
      send,
      button('Format', () => {
        text.value = indent(text.value);
        typed();
      }),
      reset,
      extra,
      result,
    ),
  );

  if (initial) start(initial.body ?? '');
  else restore();
  checked();
  return form;
}
