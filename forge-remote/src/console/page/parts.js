// The parts of one call's detail.

import { bytes, h, millis, prose } from './dom.js';
import { body, tree } from './json.js';
import { model } from './model.js';

const CLOSED = 'forge-remote.closed';

export const dim = (...text) => h.p({ class: 'dim' }, text);

export const countOf = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** The verdict in Forge's terms, the error and the notes. */
export function verdict({ outcome, verdict, error, notes }) {
  const lines = outcome === 'running' ? ['The handler is running.'] : [sentence(verdict), error, ...notes.map(reason)];
  const texts = lines.filter(Boolean).map((line) => h.p(prose(line)));
  return texts.length > 0 && h.div({ class: 'verdict' }, texts);
}

const sentence = (text) => text && text[0].toUpperCase() + text.slice(1);

/** The message of an error response; any other note is returned unchanged. */
function reason(note) {
  try {
    const message = JSON.parse(note).error?.message;
    return typeof message === 'string' ? message : note;
  } catch {
    return note;
  }
}

export function claims(values) {
  if (!values) return dim('The request had no valid Forge Invocation Token.');
  const branches = Object.entries(values).map(([name, value]) => tree(name, value));
  return h.div({ class: 'tree' }, branches);
}

/** A part of the detail that can be closed; it stays closed for other calls too. */
export function section(name, summary, ...children) {
  const closed = new Set(JSON.parse(localStorage.getItem(CLOSED) ?? '[]'));
  const toggled = ({ target }) => {
    const now = new Set(JSON.parse(localStorage.getItem(CLOSED) ?? '[]'));
    if (target.open) now.delete(name);
    else now.add(name);
    localStorage.setItem(CLOSED, JSON.stringify([...now]));
  };
  // `toggle` fires for the initial state too, and it does not bubble from the details within.
  return h.details(
    { class: 'section', open: !closed.has(name), ontoggle: toggled, 'data-section': name.toLowerCase() },
    h.summary(h.h3(name), h.span({ class: 'dim' }, summary)),
    children,
  );
}

export function message({ headers, body: text, body_bytes, is_cut }) {
  return [
    h.details(
      { class: 'branch' },
      h.summary(countOf(headers.length, 'header')),
      h.dl(
        { class: 'headers' },
        headers.map(([name, value]) => [h.dt(name), h.dd(value)]),
      ),
    ),
    text === '' ? dim('No body.') : body(text),
    is_cut && dim(`The first part of ${bytes(body_bytes)}.`),
  ];
}

export function log({ log: lines, left_out }) {
  if (lines.length === 0) {
    return model.app.has_log
      ? dim('The handler logged nothing.')
      : dim('The app sets its own tracing subscriber, so its lines are only in the terminal.');
  }
  const rows = lines.map((line) =>
    h.div(
      { class: 'log-line', role: 'row', 'data-level': line.level },
      h.span({ role: 'cell', class: 'dim' }, `+${millis(line.after_ms)}`),
      h.span({ role: 'cell', class: 'level' }, line.level),
      h.span(
        { role: 'cell' },
        line.message,
        Object.entries(line.fields).map(([name, value]) => [
          ' ',
          h.span({ class: 'field-pair' }, h.span({ class: 'dim' }, `${name}=`), String(value)),
        ]),
        ' ',
        h.span({ class: 'dim target' }, line.target),
      ),
    ),
  );
  return [
    h.div({ class: 'log', role: 'table', 'aria-label': 'Log lines of this call' }, rows),
    left_out > 0 && dim(`The call has ${left_out} more lines, which are not kept.`),
  ];
}

export function waterfall({ elapsed_ms, outgoing, method, path, status: code, outcome }) {
  const ends = outgoing.map((one) => one.started_ms + (one.elapsed_ms ?? 0));
  const total = Math.max(elapsed_ms ?? 0, ...ends, 0.1);
  const bar = (start, length, isFailed) =>
    h.span(
      { class: 'lane', 'aria-hidden': 'true' },
      h.span({
        class: isFailed ? 'span failed' : 'span',
        style: { left: `${(start / total) * 100}%`, width: `${(length / total) * 100}%` },
      }),
    );
  const line = (name, title, result, start, length, isFailed, reason) =>
    h.div(
      { class: 'lane-row', role: 'row' },
      h.span({ class: 'lane-name', role: 'cell', title }, name),
      h.span({ role: 'cell', class: isFailed ? 'bad' : 'dim' }, result),
      h.span({ role: 'cell', class: 'took' }, millis(length)),
      bar(start, length ?? 0, isFailed),
      reason && h.span({ class: 'lane-reason', role: 'cell' }, reason),
    );
  const isBad = (value) => value === null || value >= 400;
  return h.div(
    { class: 'lanes', role: 'table', 'aria-label': 'Time of the call and of the calls that it made' },
    line(`${method} ${path}`, null, code === null ? '' : String(code), 0, elapsed_ms ?? total, outcome === 'failed'),
    outgoing.map((one) =>
      line(
        `${one.method} ${one.url}`,
        one.url,
        one.status === null ? 'none' : String(one.status),
        one.started_ms,
        one.elapsed_ms,
        isBad(one.status),
        one.error,
      ),
    ),
  );
}
