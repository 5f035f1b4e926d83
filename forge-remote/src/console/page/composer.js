// The form that sends a call: event, body, method and Forge Invocation Token. The body is sent byte for byte, and
// the last one is remembered for each handler and event, in this tab.

import { post } from './api.js';
import { button, field, h } from './dom.js';
import { indent, isJson } from './json.js';
import { FORGERIES } from './labels.js';
import { model } from './model.js';
import { Component } from './preact.js';

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

// Apps share this origin, so the name contains the app's id.
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
    // If the storage is full, nothing is remembered.
  }
}

/** Returns a text with the line ends of a text area, which the browser changes. */
const shown = (bytes) => indent(bytes).replace(/\r\n?/g, '\n');

/**
 * A form for `handler`. Without `initial` it starts from the remembered body, else from the sample. `sent` gets the id
 * of the call that was made, and returns the text next to the button. A form of another handler needs another `key`.
 */
export class Composer extends Component {
  constructor(props) {
    super(props);
    const { handler, initial } = props;
    const last = initial ?? remembered(handler.id);
    const declared = [...handler.samples.map((one) => one.event), ...handler.events].filter(Boolean);
    this.events = [...new Set([last.event, ...declared].filter(Boolean))];
    const event = last.event ?? this.events[0] ?? null;
    this.state = {
      event,
      method: initial?.method ?? (/^any$/i.test(handler.method) ? 'POST' : handler.method),
      forgery: initial?.forgery ?? '',
      subpath: initial?.subpath ?? '',
      query: initial?.query ?? '',
      retry: '',
      isSending: false,
      result: null,
      ...(initial ? this.starting(initial.body ?? '') : this.restored(event)),
    };
  }

  sample(event) {
    const { samples } = this.props.handler;
    return samples.find((one) => one.event === event) ?? samples[0] ?? { body: null, is_guess: false };
  }

  /** The text that is shown first, and the bytes that it stands for: an unchanged body is sent as it was. */
  starting(bytes) {
    return { original: bytes, text: shown(bytes) };
  }

  /** The body that is remembered for an event, else its sample. */
  restored(event) {
    const start = this.starting(this.sample(event).body ?? '');
    return { ...start, text: remembered(this.props.handler.id).bodies?.[event ?? ''] ?? start.text };
  }

  isSample() {
    return this.state.text === shown(this.sample(this.state.event).body ?? '');
  }

  keep() {
    const { event, text } = this.state;
    remember(this.props.handler.id, event, this.isSample() ? undefined : text);
  }

  type(text) {
    this.setState({ text }, () => this.keep());
  }

  hint() {
    const { initial, warning } = this.props;
    const { event, method, original, text } = this.state;
    if (warning && text === shown(original)) return warning;
    if (method === 'GET') return 'A GET request has no body.';
    if (this.isSample() && this.sample(event).is_guess)
      return 'Atlassian documents no body for this call; this one is a guess.';
    if (text !== '' && !isJson(text)) return 'Not JSON. It is sent unchanged.';
    return this.isSample() || initial ? null : 'Your last body, not the sample.';
  }

  async submit(submitted) {
    submitted.preventDefault();
    const { handler, sent } = this.props;
    const { event, method, forgery, subpath, query, retry, original, text, isSending } = this.state;
    if (isSending) return;
    this.keep();
    const isOmitted = method === 'GET' || (text === '' && this.sample(event).body === null);
    const changes = {
      method: handler.any_method ? method : undefined,
      event: event ?? undefined,
      body: isOmitted ? undefined : text === shown(original) ? original : text,
      subpath: subpath || undefined,
      query: query || undefined,
      retry: retry === '' ? undefined : Number(retry),
      forgery: forgery || undefined,
    };
    this.setState({ isSending: true, result: 'Sending' });
    let result;
    try {
      const { id } = await post(`/handlers/${encodeURIComponent(handler.id)}/call`, changes);
      result = sent(id);
    } catch (error) {
      result = error.message;
    }
    this.setState({ isSending: false, result });
  }

  choice(name, options, changed = (value) => this.setState({ [name]: value })) {
    return h.select(
      { value: this.state[name], onchange: ({ target }) => changed(target.value) },
      options.map(([value, label]) => h.option({ value }, label)),
    );
  }

  input(name, properties) {
    const oninput = ({ target }) => this.setState({ [name]: target.value });
    return h.input({ type: 'text', value: this.state[name], spellcheck: false, oninput, ...properties });
  }

  render({ handler, initial, extra }, { method, text, isSending, result }) {
    const hasBody = method !== 'GET';
    const pressed = (event) => {
      if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) this.submit(event);
    };
    return h.form(
      { class: 'composer', onsubmit: (event) => this.submit(event), onkeydown: pressed },
      h.div(
        { class: 'fields' },
        this.events.length > 0 &&
          field(
            'Event',
            this.choice(
              'event',
              this.events.map((name) => [name, name]),
              (event) => this.setState({ event, ...this.restored(event) }),
            ),
            { class: 'field wide' },
          ),
        handler.any_method &&
          field(
            'Method',
            this.choice(
              'method',
              METHODS.map((name) => [name, name]),
            ),
          ),
        field('Forge Invocation Token', this.choice('forgery', [['', 'valid'], ...Object.entries(FORGERIES)])),
      ),
      field(
        h.span({ class: 'field-line' }, 'Body', h.span({ class: 'dim' }, this.hint())),
        h.textarea({
          rows: 14,
          spellcheck: false,
          autocapitalize: 'off',
          autocomplete: 'off',
          value: text,
          disabled: !hasBody,
          hidden: !hasBody,
          oninput: ({ target }) => this.type(target.value),
        }),
      ),
      h.details(
        { class: 'branch', open: Boolean(initial?.subpath || initial?.query) },
        h.summary('Path, query and retry'),
        h.div(
          { class: 'fields' },
          field('Path below the handler', this.input('subpath', { placeholder: '/below' })),
          field('Query', this.input('query', { placeholder: 'name=value' })),
          field('Retry number', this.input('retry', { type: 'number', min: 1, max: model.app.max_retries, placeholder: 'none' })),
        ),
      ),
      h.div(
        { class: 'form-end' },
        h.button(
          { type: 'submit', class: 'primary', 'aria-keyshortcuts': 'Control+Enter', disabled: isSending },
          initial ? 'Send' : 'Call',
          h.kbd('Ctrl ↵'),
        ),
        button('Format', () => this.type(shown(text))),
        button('Use the sample', () => {
          const start = this.starting(this.sample(this.state.event).body ?? '');
          this.setState(start, () => this.keep());
        }),
        extra,
        h.p({ class: 'result', role: 'status' }, result),
      ),
    );
  }
}
