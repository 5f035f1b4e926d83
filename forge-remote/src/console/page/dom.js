// Elements, and the forms of times and durations. Every value becomes a text node: nothing here parses HTML.

import { createElement, Fragment, render } from './preact.js';

/**
 * Describes elements: `h.p({ class: 'dim' }, 'text')`. The properties can be left out, and children that are `null` or
 * `false` as well.
 */
export const h = new Proxy(
  {},
  {
    get:
      (_, name) =>
      (...parts) =>
        createElement(name, parts[0]?.constructor === Object ? parts.shift() : null, ...parts),
  },
);

/** Creates an element that `draw` fills. */
export function container(name, properties = {}) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
  return element;
}

/** Makes the children of an element as described; unchanged ones are not replaced. */
export const draw = (element, ...children) => render(createElement(Fragment, null, ...children), element);

/** Opens a dialog with these children, until it is closed. Returns the element. */
export function openDialog(properties, children) {
  const dialog = container('dialog', { class: 'panel', ...properties });
  const close = () => dialog.close();
  dialog.addEventListener('close', () => {
    draw(dialog);
    dialog.remove();
  });
  draw(dialog, children(close));
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

export const button = (label, onclick, props) => h.button({ type: 'button', onclick, ...props }, label);

/** The head of a table; a column without a name is that of actions. */
export const heads = (...names) =>
  h.thead(
    h.tr(
      names.map((name) =>
        h.th({ scope: 'col', class: name === null ? 'act' : null }, name ?? h.span({ class: 'unseen' }, 'Actions')),
      ),
    ),
  );

/** A label with its control, as one cell of a form. */
export const field = (label, control, props) => h.label({ class: 'field', ...props }, h.span(label), control);

/** A pair of term and description of a `dl`; nothing if the description is empty. */
export const fact = (term, ...description) =>
  description.every((part) => part === null || part === undefined || part === '')
    ? null
    : [h.dt(term), h.dd(...description)];

/** Text with its `code` in backticks, as messages of the API have it. */
export const prose = (text) =>
  text.split(/(`[^`\n]+`)/).map((part) => (/^`.+`$/.test(part) ? h.code(part.slice(1, -1)) : part));

/** The text that a view shows if it has nothing to list. */
export const empty = (title, ...text) => h.div({ class: 'empty' }, h.h2(title), h.p(...text));

const CLOCK = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const DAY = new Intl.DateTimeFormat(undefined, {
  weekday: 'short',
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23',
});

export const clock = (time) => CLOCK.format(new Date(time));

/** A time of day; with the weekday if it is not within 12 hours from now. */
export const moment = (time) =>
  Math.abs(new Date(time) - Date.now()) < 12 * 3600e3 ? clock(time) : DAY.format(new Date(time));

/** Milliseconds as the terminal prints them: one decimal below ten. */
export function millis(value) {
  if (value === null || value === undefined) return '';
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

/** The time until a moment: `12 s`, `4:09`, `1:02:03`, `2 d 4 h`. */
export function until(time) {
  const seconds = Math.max(0, Math.ceil((new Date(time) - Date.now()) / 1000));
  const two = (value) => String(value).padStart(2, '0');
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  if (seconds < 60) return `${seconds} s`;
  if (hours < 1) return `${minutes}:${two(seconds % 60)}`;
  if (hours < 48) return `${hours}:${two(minutes)}:${two(seconds % 60)}`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const UNITS = [
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
];

/** An interval in words: `hour`, `5 minutes`. */
export function interval(seconds) {
  const [unit, size] = UNITS.find(([, size]) => seconds >= size && seconds % size === 0) ?? ['second', 1];
  const count = seconds / size;
  return count === 1 ? unit : `${count} ${unit}s`;
}

export function bytes(count) {
  return count < 1024
    ? `${count} B`
    : count < 1_048_576
      ? `${(count / 1024).toFixed(1)} KiB`
      : `${(count / 1_048_576).toFixed(1)} MiB`;
}

/** Whether the user types into this element. */
export const isTyping = (target) => target instanceof HTMLElement && target.matches('input, textarea, select');
