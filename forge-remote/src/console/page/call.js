// One call: the verdict first, then the log, the time, the response, the request and the claims.

import { get, post } from './api.js';
import { Composer } from './composer.js';
import { button, bytes, clock, container, draw, empty, h, millis, openDialog } from './dom.js';
import { ORIGINS, outcomeOf, forgery, status } from './labels.js';
import { handler, model, subscribe } from './model.js';
import { claims, countOf, dim, log, message, section, verdict, waterfall } from './parts.js';
import { createElement, createRef } from './preact.js';
import { delayed, newest } from './timing.js';

/** Longer than `dev` waits between two events of one log. */
const LOG_DELAY = 300;

const iso = (at) => new Date(at).toISOString();

export function callDetail({ announce, select }) {
  const element = container('div', { class: 'detail', role: 'region', 'aria-label': 'Call' });
  const content = createRef();
  // The list's summary of the call that is open.
  let summary = null;
  // The call as the API has it, once it is fetched.
  let call = null;
  // The fetched call that is shown: until the open one is fetched, the former one stays visible.
  let shown = null;
  let failure = null;
  let note = null;
  // The last fetch of the open call.
  let loading = Promise.resolve();
  // The last action that waits for it.
  let waiting = null;
  // The call that the user repeats: the new call is opened as soon as it starts.
  let repeated = null;
  // The calls whose logs grew in the last moment.
  let grown = [];
  const read = newest((id) => get(`/calls/${id}`));
  const reread = delayed(() => load(summary.id), LOG_DELAY);

  subscribe('calls', (ids) => {
    if (repeated === null) return;
    const repetition = [...ids].find((id) => id > repeated.after && model.calls.get(id)?.repeats === repeated.id);
    if (repetition === undefined) return;
    repeated = null;
    select(repetition);
  });

  // The log grows line by line, even after the response if a stored call runs. An event stands for the lines of the
  // next moment too, so a call that is opened in that moment is fetched a second time.
  subscribe('log', (id) => {
    const now = performance.now();
    grown = [...grown.filter((one) => now - one.at < LOG_DELAY), { id, at: now }];
    if (summary && (id === summary.id || id === null)) reread();
  });

  function open(id, known, isUpdate = false) {
    const isOther = summary?.id !== id;
    const isSame = isUpdate && !isOther && summary.outcome === known.outcome;
    if (isOther) call = null;
    summary = known ?? { id };
    if (!isSame) note = null;
    if (isOther) failure = null;
    update();
    if (isOther && content.current) content.current.scrollTop = 0;
    // The user opens a call a second time to see its newest state.
    if (isOther || !isUpdate || call?.outcome !== known?.outcome) load(id);
    if (isOther && grown.some((one) => one.id === id)) reread();
  }

  const load = (id) => (loading = fetchCall(id));

  async function fetchCall(id) {
    try {
      const loaded = await read(id);
      if (loaded === null || summary.id !== id) return;
      [summary, call, shown, failure] = [loaded, loaded, loaded, null];
    } catch (error) {
      // The shown state stays if `dev` no longer has the call.
      if (summary.id !== id || call?.id === id) return;
      [call, shown, failure] = [null, null, error.message];
    }
    update();
  }

  /**
   * Returns the open call as its row shows it, for an action of the user; `null` if it cannot be fetched, or if the user
   * has opened another call or started another action since.
   */
  async function current() {
    const id = summary?.id;
    const own = {};
    waiting = own;
    if (call?.outcome !== summary?.outcome || call === null) await loading;
    return call?.id === id && waiting === own ? call : null;
  }

  function say(text) {
    note = text;
    update();
  }

  function update() {
    element.dataset.outcome = summary?.outcome ?? '';
    element.dataset.shown = shown?.id ?? '';
    if (summary === null)
      draw(element, empty('No call selected', 'Choose one in the list, or press ', h.kbd('j'), ' and ', h.kbd('k'), '.'));
    else if (failure !== null) draw(element, empty(`Call ${summary.id} is not shown`, failure));
    else
      draw(
        element,
        h.div({ class: 'detail-head' }, summary.handler ? heading(summary) : h.h2(`Call ${summary.id}`)),
        actions(),
        h.div({ class: 'detail-body', tabindex: -1, ref: content }, shown && parts(shown)),
      );
  }

  function actions() {
    const action = (label, run, key) => button([label, key && h.kbd(key)], run, { 'aria-keyshortcuts': key });
    return h.div(
      { class: 'actions' },
      action('Again', () => again(), 'r'),
      action('As a retry', asRetry, 't'),
      action('Edit and send', edit, 'e'),
      action('Copy command', () => copy('command')),
      action('Copy test', () => copy('test')),
      h.span({ class: 'dim action-note', role: 'status' }, note),
    );
  }

  function asRetry() {
    const retry = (summary?.retry ?? 0) + 1;
    if (retry > model.app.max_retries) say(`Forge retries a call ${model.app.max_retries} times at most`);
    else again(retry);
  }

  async function again(retry) {
    if (!summary) return;
    const own = { id: summary.id, after: [...model.calls.keys()].at(-1) ?? 0 };
    repeated = own;
    say('Sending');
    try {
      const { id } = await post(`/calls/${own.id}/again`, retry === undefined ? {} : { retry });
      // The stream has opened it already, unless it is behind; or the user has repeated another call since.
      if (repeated === own) select(id);
    } catch (error) {
      say(error.message);
    }
    if (repeated === own) repeated = null;
  }

  async function edit() {
    const call = await current();
    if (call === null) return;
    const target = handler(call.handler);
    if (!target) {
      say(`The app has no handler ${call.handler}`);
      return;
    }
    const [path, query] = call.path.split(/\?(.*)/s);
    const initial = {
      body: call.request.body,
      method: call.method,
      event: call.event,
      forgery: call.forgery,
      query,
      subpath: path.startsWith(target.path) ? path.slice(target.path.length) : '',
    };
    const dialog = openDialog({ 'aria-labelledby': 'edit-title' }, (close) => [
      h.h2({ id: 'edit-title' }, `Edit and send: ${call.handler}`),
      createElement(Composer, {
        handler: target,
        initial,
        warning: call.request.is_cut && `The body is cut: ${bytes(call.request.body_bytes)} were sent.`,
        sent: (id) => {
          close();
          select(id);
        },
        extra: button('Cancel', close),
      }),
    ]);
    dialog.querySelector('textarea:enabled')?.focus();
  }

  async function copy(what) {
    const call = await current();
    if (call === null) return;
    const [text, without] =
      what === 'test' ? [call.rust_test, call.no_test] : [call.invoke_command, call.no_command];
    const done = `The ${what} is copied`;
    if (without !== null) {
      say(without);
      return;
    }
    try {
      await navigator.clipboard.writeText(text);
      say(done);
      announce(done);
    } catch {
      const dialog = openDialog({ 'aria-label': 'Text to copy' }, (close) => [
        h.p('The browser did not allow the clipboard. Copy the text here.'),
        h.textarea({ readonly: true, rows: 16, value: text }),
        h.div({ class: 'form-end' }, button('Close', close)),
      ]);
      dialog.querySelector('textarea').select();
    }
  }

  update();
  return {
    element,
    open,
    /** Shows the newer state of the call, when its list row changed. */
    update: (newer) => open(newer.id, newer, true),
    key(name) {
      if (name === 'r') again();
      else if (name === 't') asRetry();
      else if (name === 'e') edit();
      else if (name === 'Enter') content.current?.focus();
      else return false;
      return true;
    },
  };
}

function heading(call) {
  const { id, method, path, event, at, elapsed_ms, origin, tokens, repeats, retry } = call;
  return [
    h.h2(h.span({ class: 'badge' }, `${status(call)} ${outcomeOf(call)}`), h.span({ class: 'name' }, call.handler)),
    h.p(
      { class: 'dim' },
      [
        `${method} ${path}`,
        event,
        `call ${id}`,
        h.time({ datetime: iso(at), title: iso(at) }, clock(at)),
        elapsed_ms !== null && millis(elapsed_ms),
        `by ${ORIGINS[origin] ?? origin}`,
        tokens.length > 0 ? `tokens: ${tokens.join(', ')}` : 'no tokens',
        retry !== null && `retry ${retry}`,
        call.forgery && forgery(call),
        repeats !== null && ['repeats ', h.a({ href: `#/calls/${repeats}` }, `call ${repeats}`)],
      ]
        .filter(Boolean)
        .map((part) => h.span(part)),
    ),
  ];
}

function parts(call) {
  const isRunning = call.outcome === 'running';
  return [
    verdict(call),
    section('Log', countOf(call.log.length, 'line'), log(call)),
    section('Time', millis(call.elapsed_ms), waterfall(call)),
    section(
      'Response',
      call.response ? status(call) : 'none',
      call.response ? message(call.response) : dim(isRunning ? 'Not yet.' : 'The app sent no response.'),
    ),
    section('Request', `${call.method} ${call.path}`, message(call.request)),
    section('Claims', call.claims ? 'of the FIT' : 'none', claims(call.claims)),
  ];
}
