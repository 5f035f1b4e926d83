// One call: the verdict first, then the log, the time, the response, the request and the claims.

import { get, post } from './api.js';
import { composer } from './composer.js';
import { button, bytes, clock, empty, fill, h, millis, prose } from './dom.js';
import { body, tree } from './json.js';
import { ORIGINS, OUTCOMES, forgery, status } from './labels.js';
import { handler, model, subscribe } from './model.js';

const CLOSED = 'forge-remote.closed';

export function callDetail({ navigate, announce, select }) {
  const element = h('div', { class: 'detail', role: 'region', 'aria-label': 'Call' });
  // What is shown: the list's summary, and its detail once it is fetched.
  let summary = null;
  let call = null;
  let request = new AbortController();
  // The call that the user repeats: its repetition is opened as soon as it starts.
  let repeated = null;

  const head = h('div', { class: 'detail-head' });
  const content = h('div', { class: 'detail-body', tabindex: '-1' });
  const note = h('span', { class: 'dim action-note', role: 'status' });
  const action = (label, run, key) =>
    button([label, key && h('kbd', null, key)], run, key && { 'aria-keyshortcuts': key });
  const actions = h('div', { class: 'actions' },
    action('Again', () => again(), 'r'),
    action('As a retry', () => again((summary.retry ?? 0) + 1), 't'),
    action('Edit and send', edit, 'e'),
    action('Copy command', () => copy('invoke_command', 'The command is copied')),
    action('Copy test', () => copy('rust_test', 'The test is copied')),
    note);
  const nothing = empty('No call selected', 'Choose one in the list, or press ', h('kbd', null, 'j'), ' and ', h('kbd', null, 'k'), '.');
  fill(element, nothing);

  subscribe('calls', (ids) => {
    if (repeated === null) return;
    const repetition = [...ids].find((id) => model.calls.get(id)?.repeats === repeated);
    if (repetition === undefined) return;
    repeated = null;
    select(repetition);
  });

  function open(id, known) {
    note.textContent = '';
    const isOther = summary?.id !== id;
    if (isOther) {
      content.scrollTop = 0;
      call = null;
    }
    summary = known ?? { id };
    if (element.firstChild !== head) fill(element, head, actions, content);
    if (known) drawHead();
    else fill(head, h('h2', null, `Call ${id}`));
    // The other call's content stays until this one's is here: there is no blank moment between two.
    if (isOther || call?.outcome !== known?.outcome) load(id);
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
      if (error.name === 'AbortError') return;
      call = null;
      fill(element, empty(`Call ${id} is not shown`, error.message));
    }
  }

  function drawHead() {
    const { id, key, method, path, event, at, elapsed_ms, origin, tokens, repeats, retry, outcome } = summary;
    element.dataset.outcome = outcome;
    fill(head,
      h('h2', null, h('span', { class: 'badge' }, `${status(summary)} ${OUTCOMES[outcome]}`), h('span', { class: 'name' }, key)),
      h('p', { class: 'dim' }, [
        `${method} ${path}`, event, `call ${id}`, h('time', { datetime: at, title: at }, clock(at)), elapsed_ms !== null && millis(elapsed_ms),
        `by ${ORIGINS[origin] ?? origin}`,
        tokens.length > 0 ? `tokens: ${tokens.join(', ')}` : 'no tokens',
        retry !== null && `retry ${retry}`,
        summary.forgery && forgery(summary),
        repeats !== null && ['repeats ', h('a', { href: `#/calls/${repeats}` }, `call ${repeats}`)],
      ].filter(Boolean).map((part) => h('span', null, part))));
  }

  function drawContent() {
    const { notes, error, outgoing, log, response, request, claims, verdict, outcome } = call;
    const lines = [verdict, error, ...notes].filter(Boolean);
    fill(content,
      outcome === 'running' ? h('p', { class: 'verdict' }, 'The handler is running.')
        : lines.length > 0 && h('div', { class: 'verdict' }, lines.map((line) => h('p', null, prose(line)))),
      section('Log', countOf(log.length, 'line'), log.length > 0 ? logTable(log)
        : model.app.has_log ? h('p', { class: 'dim' }, 'The handler logged nothing. ', h('code', null, 'RUST_LOG=info,forge_remote=debug'), ' also logs each call that it makes.')
        : h('p', { class: 'dim' }, 'The app sets its own tracing subscriber, so its lines are only in the terminal.')),
      section('Time', millis(call.elapsed_ms), waterfall(call)),
      section('Response', response ? status(call) : 'none', response ? message(response) : h('p', { class: 'dim' }, outcome === 'running' ? 'Not yet.' : 'The app sent no response.')),
      section('Request', `${call.method} ${call.path}`, message(request)),
      section('Claims', claims ? 'of the FIT' : 'none', claims
        ? h('div', { class: 'tree' }, Object.entries(claims).map(([name, value]) => tree(name, value)))
        : h('p', { class: 'dim' }, 'The request had no valid Forge Invocation Token.')));
  }

  async function again(retry) {
    if (!summary) return;
    repeated = summary.id;
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
    const target = handler(call.key);
    if (!target) {
      note.textContent = `No handler has the key ${call.key}`;
      return;
    }
    const [path, query] = call.path.split(/\?(.*)/s);
    const dialog = h('dialog', { class: 'panel', 'aria-labelledby': 'edit-title', onclose: () => dialog.remove() },
      h('h2', { id: 'edit-title' }, `Edit and send: ${call.key}`),
      composer({
        handler: target,
        initial: {
          body: call.request.body, method: call.method, event: call.event, retry: call.retry, forgery: call.forgery, query,
          subpath: path.startsWith(target.path) ? path.slice(target.path.length) : '',
        },
        warning: call.request.is_cut && `The body is cut: ${bytes(call.request.body_bytes)} were sent.`,
        sent: (id) => {
          dialog.close();
          select(id);
        },
        extra: button('Cancel', () => dialog.close()),
      }));
    document.body.append(dialog);
    dialog.showModal();
    dialog.querySelector('textarea:enabled')?.focus();
  }

  async function copy(name, done) {
    if (!call) return;
    try {
      await navigator.clipboard.writeText(call[name]);
      note.textContent = done;
      announce(done);
    } catch {
      const dialog = h('dialog', { class: 'panel', 'aria-label': 'Text to copy', onclose: () => dialog.remove() },
        h('p', null, 'The browser did not allow the clipboard. Copy the text here.'),
        h('textarea', { readonly: true, rows: '16', value: call[name] }),
        h('div', { class: 'form-end' }, button('Close', () => dialog.close())));
      document.body.append(dialog);
      dialog.showModal();
      dialog.querySelector('textarea').select();
    }
  }

  return {
    element,
    open,
    /** Shows the newer state of the call, when its list row changed. */
    update: (newer) => open(newer.id, newer),
    key(name) {
      if (name === 'r') again();
      else if (name === 't') again((summary?.retry ?? 0) + 1);
      else if (name === 'e') edit();
      else if (name === 'Enter') content.focus();
      else return false;
      return true;
    },
  };
}

const countOf = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** A part of the detail that can be closed; it stays closed for other calls too. */
function section(name, summary, ...children) {
  const closed = new Set(JSON.parse(localStorage.getItem(CLOSED) ?? '[]'));
  const toggled = ({ target }) => {
    const now = new Set(JSON.parse(localStorage.getItem(CLOSED) ?? '[]'));
    if (target.open) now.delete(name);
    else now.add(name);
    localStorage.setItem(CLOSED, JSON.stringify([...now]));
  };
  const element = h('details', { class: 'section', open: !closed.has(name) },
    h('summary', null, h('h3', null, name), h('span', { class: 'dim' }, summary)), children);
  element.dataset.section = name.toLowerCase();
  // `toggle` fires for the initial state too, and it does not bubble from the details within.
  element.addEventListener('toggle', toggled);
  return element;
}

function message({ headers, body: text, body_bytes, is_cut }) {
  return [
    h('details', { class: 'branch' },
      h('summary', null, countOf(headers.length, 'header')),
      h('dl', { class: 'headers' }, headers.map(([name, value]) => [h('dt', null, name), h('dd', null, value)]))),
    text === '' ? h('p', { class: 'dim' }, 'No body.') : body(text),
    is_cut && h('p', { class: 'dim' }, `The first part of ${bytes(body_bytes)}.`),
  ];
}

function logTable(lines) {
  return h('div', { class: 'log', role: 'table', 'aria-label': 'Log lines of this call' }, lines.map((line) =>
    h('div', { class: 'log-line', role: 'row', 'data-level': line.level },
      h('span', { role: 'cell', class: 'dim' }, `+${millis(line.after_ms)}`),
      h('span', { role: 'cell', class: 'level' }, line.level),
      h('span', { role: 'cell' }, line.message,
        Object.entries(line.fields).map(([name, value]) => [' ', h('span', { class: 'field-pair' }, h('span', { class: 'dim' }, `${name}=`), String(value))]),
        ' ', h('span', { class: 'dim target' }, line.target)))));
}

function waterfall({ elapsed_ms, outgoing, method, path, status: code, error }) {
  const ends = outgoing.map((one) => one.started_ms + (one.elapsed_ms ?? 0));
  const total = Math.max(elapsed_ms ?? 0, ...ends, 0.1);
  const bar = (start, length, isFailed) => h('span', { class: 'lane', 'aria-hidden': 'true' },
    h('span', { class: isFailed ? 'span failed' : 'span', style: { left: `${(start / total) * 100}%`, width: `${(length / total) * 100}%` } }));
  const line = (name, title, result, start, length, isFailed, reason) => [
    h('div', { class: 'lane-row', role: 'row' },
      h('span', { class: 'lane-name', role: 'cell', title }, name),
      h('span', { role: 'cell', class: isFailed ? 'bad' : 'dim' }, result),
      h('span', { role: 'cell', class: 'took' }, millis(length)),
      bar(start, length ?? 0, isFailed)),
    reason && h('p', { class: 'lane-reason' }, reason),
  ];
  const isBad = (value) => value === null || value >= 400;
  return h('div', { class: 'lanes', role: 'table', 'aria-label': 'Time of the call and of the calls that it made' },
    line(`${method} ${path}`, null, code === null ? '' : String(code), 0, elapsed_ms ?? total, Boolean(error) || code >= 400),
    outgoing.map((one) => line(`${one.method} ${short(one.url)}`, one.url, one.status === null ? 'none' : String(one.status),
      one.started_ms, one.elapsed_ms, isBad(one.status), one.error)));
}

/** An outgoing URL without its origin: the local platform serves them all. */
function short(url) {
  const parsed = URL.parse?.(url, location.href);
  return parsed ? parsed.pathname + parsed.search : url;
}
