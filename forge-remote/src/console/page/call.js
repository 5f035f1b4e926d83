// One call: the verdict first, then the log, the time, the response, the request and the claims.

import { get, post } from './api.js';
import { composer } from './composer.js';
import { button, bytes, clock, empty, fill, h, millis } from './dom.js';
import { ORIGINS, outcomeOf, forgery, status } from './labels.js';
import { handler, model, subscribe } from './model.js';
import { claims, countOf, dim, log, message, refill, section, verdict, waterfall } from './parts.js';

/** Longer than `dev` waits between two events of one log. */
const LOG_DELAY = 300;

const iso = (at) => new Date(at).toISOString();

export function callDetail({ navigate, announce, select }) {
  const element = h.div({ class: 'detail', role: 'region', 'aria-label': 'Call' });
  // What is shown: the list's summary, and its detail once it is fetched.
  let summary = null;
  let call = null;
  let request = new AbortController();
  // The call and the outcome that the sections show, and the sections that grow.
  let drawn = {};
  // The call that the user repeats: its repetition is opened as soon as it starts.
  let repeated = null;

  const head = h.div({ class: 'detail-head' });
  const content = h.div({ class: 'detail-body', tabindex: '-1' });
  const note = h.span({ class: 'dim action-note', role: 'status' });
  const action = (label, run, key) => button([label, key && h.kbd(key)], run, key && { 'aria-keyshortcuts': key });
  const actions = h.div(
    { class: 'actions' },
    action('Again', () => again(), 'r'),
    action('As a retry', () => asRetry(), 't'),
    action('Edit and send', edit, 'e'),
    action('Copy command', () => copy('command')),
    action('Copy test', () => copy('test')),
    note,
  );
  const nothing = empty('No call selected', 'Choose one in the list, or press ', h.kbd('j'), ' and ', h.kbd('k'), '.');
  fill(element, nothing);

  subscribe('calls', (ids) => {
    if (repeated === null) return;
    const repetition = [...ids].find((id) => id > repeated.after && model.calls.get(id)?.repeats === repeated.id);
    if (repetition === undefined) return;
    repeated = null;
    select(repetition);
  });

  // The log grows, line by line, also of a stored call that runs after its response. An event stands for the lines of
  // the moment after it too, so a call that is opened in this moment is read once more.
  let rereading = null;
  let grown = [];
  subscribe('log', (id) => {
    const now = performance.now();
    grown = [...grown.filter((one) => now - one.at < LOG_DELAY), { id, at: now }];
    if (summary && (id === summary.id || id === null)) reread();
  });

  function reread() {
    rereading ??= setTimeout(() => {
      rereading = null;
      load(summary.id);
    }, LOG_DELAY);
  }

  function open(id, known, isUpdate = false) {
    note.textContent = '';
    const isOther = summary?.id !== id;
    if (isOther) {
      content.scrollTop = 0;
      call = null;
    }
    summary = known ?? { id };
    if (element.firstChild !== head) fill(element, head, actions, content);
    if (known) drawHead();
    else fill(head, h.h2(`Call ${id}`));
    // The other call's content stays until this one's is here: there is no blank moment between two.
    // The user opens a call again to see its newest state.
    if (isOther || !isUpdate || call?.outcome !== known?.outcome) load(id);
    if (isOther && grown.some((one) => one.id === id)) reread();
  }

  async function load(id) {
    request.abort();
    request = new AbortController();
    const { signal } = request;
    try {
      const loaded = await get(`/calls/${id}`, { signal });
      if (signal.aborted) return;
      [summary, call] = [loaded, loaded];
      drawHead();
      drawContent();
    } catch (error) {
      // What is shown of it stays, when `dev` has forgotten the call since.
      if (error.name === 'AbortError' || call?.id === id) return;
      call = null;
      fill(element, empty(`Call ${id} is not shown`, error.message));
    }
  }

  function drawHead() {
    const { id, handler: name, key, method, path, event, at, elapsed_ms, origin, tokens, repeats, retry, outcome } = summary;
    element.dataset.outcome = outcome;
    fill(
      head,
      h.h2(h.span({ class: 'badge' }, `${status(summary)} ${outcomeOf(summary)}`), h.span({ class: 'name' }, name ?? key)),
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
          summary.forgery && forgery(summary),
          repeats !== null && ['repeats ', h.a({ href: `#/calls/${repeats}` }, `call ${repeats}`)],
        ]
          .filter(Boolean)
          .map((part) => h.span(part)),
      ),
    );
  }

  function drawContent() {
    const isRunning = call.outcome === 'running';
    const lines = ['Log', countOf(call.log.length, 'line'), log(call)];
    const times = ['Time', millis(call.elapsed_ms), waterfall(call)];
    // Nothing else can have changed: opened branches, the selection and the focus stay.
    if (drawn.id === call.id && drawn.outcome === call.outcome) {
      refill(drawn.lines, ...lines.slice(1));
      refill(drawn.times, ...times.slice(1));
      return;
    }
    drawn = { id: call.id, outcome: call.outcome, lines: section(...lines), times: section(...times) };
    fill(
      content,
      verdict(call),
      drawn.lines,
      drawn.times,
      section(
        'Response',
        call.response ? status(call) : 'none',
        call.response ? message(call.response) : dim(isRunning ? 'Not yet.' : 'The app sent no response.'),
      ),
      section('Request', `${call.method} ${call.path}`, message(call.request)),
      section('Claims', call.claims ? 'of the FIT' : 'none', claims(call.claims)),
    );
  }

  const asRetry = () => again((summary?.retry ?? 0) + 1);

  async function again(retry) {
    if (!summary) return;
    repeated = { id: summary.id, after: [...model.calls.keys()].at(-1) ?? 0 };
    note.textContent = 'Sending';
    try {
      const { id } = await post(`/calls/${summary.id}/again`, retry === undefined ? {} : { retry });
      note.textContent = '';
      // The stream has opened it already, unless it is behind.
      if (repeated !== null) select(id);
    } catch (error) {
      note.textContent = error.message;
    }
    repeated = null;
  }

  function edit() {
    if (!call) return;
    const target = handler(call.handler);
    if (!target) {
      note.textContent = `The app has no handler ${call.handler}`;
      return;
    }
    const [path, query] = call.path.split(/\?(.*)/s);
    const dialog = h.dialog(
      { class: 'panel', 'aria-labelledby': 'edit-title', onclose: () => dialog.remove() },
      h.h2({ id: 'edit-title' }, `Edit and send: ${call.handler}`),
      composer({
        handler: target,
        initial: {
          body: call.request.body,
          method: call.method,
          event: call.event,
          forgery: call.forgery,
          query,
          subpath: path.startsWith(target.path) ? path.slice(target.path.length) : '',
        },
        warning: call.request.is_cut && `The body is cut: ${bytes(call.request.body_bytes)} were sent.`,
        sent: (id) => {
          dialog.close();
          select(id);
        },
        extra: button('Cancel', () => dialog.close()),
      }),
    );
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector('textarea:enabled')?.focus();
  }

  async function copy(what) {
    if (!call) return;
    const [text, without] =
      what === 'test' ? [call.rust_test, call.no_test] : [call.invoke_command, call.no_command];
    const done = `The ${what} is copied`;
    if (without !== null) {
      note.textContent = without;
      return;
    }
    try {
      await navigator.clipboard.writeText(text);
      note.textContent = done;
      announce(done);
    } catch {
      const dialog = h.dialog(
        { class: 'panel', 'aria-label': 'Text to copy', onclose: () => dialog.remove() },
        h.p('The browser did not allow the clipboard. Copy the text here.'),
        h.textarea({ readonly: true, rows: '16', value: text }),
        h.div(
          { class: 'form-end' },
          button('Close', () => dialog.close()),
        ),
      );
      document.body.append(dialog);
      dialog.showModal();
      dialog.querySelector('textarea').select();
    }
  }

  return {
    element,
    open,
    /** Shows the newer state of the call, when its list row changed. */
    update: (newer) => open(newer.id, newer, true),
    key(name) {
      if (name === 'r') again();
      else if (name === 't') asRetry();
      else if (name === 'e') edit();
      else if (name === 'Enter') content.focus();
      else return false;
      return true;
    },
  };
}
