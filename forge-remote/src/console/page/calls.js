// The view of calls: a list that follows new calls, and one call next to it. All rows have the same height, so that
// nothing moves while calls arrive.

import { callDetail } from './call.js';
import { button, clock, container, draw, empty, h, millis } from './dom.js';
import { outcomeOf, forgery, status } from './labels.js';
import { model, subscribe } from './model.js';

const ROW = 28;
/** The text that distinguishes a call from its handler's others. */
function subject(call) {
  const tags = [
    call.fires && `fires ${call.fires}`,
    call.forgery && forgery(call),
    call.retry !== null && `retry ${call.retry}`,
  ];
  return [call.event ?? `${call.method} ${call.path}`, ...tags.filter(Boolean)].join(' · ');
}

const words = (call) =>
  [
    call.id,
    call.handler,
    call.key,
    call.module_type,
    call.method,
    call.path,
    call.event,
    call.origin,
    status(call),
    outcomeOf(call),
    call.verdict,
    subject(call),
  ]
    .join(' ')
    .toLowerCase();

export function callsView({ navigate, announce }) {
  // The rows that were drawn, by the call's id: the same object is not compared again.
  let drawn = new Map();
  let isFollowing = true;
  let selected = null;
  let terms = [];
  // The calls that have arrived below the visible rows.
  let unseen = 0;
  // The scroll position that this code has set; any other one is the user's.
  let ownScroll = 0;

  const element = container('section', { class: 'split', 'aria-label': 'Calls' });
  const side = container('div', { class: 'side', role: 'region', 'aria-label': 'List of calls' });
  const detail = callDetail({ announce, select });
  element.append(side, detail.element);
  const list = () => side.querySelector('.rows');
  const filter = () => side.querySelector('input');

  function row(call) {
    const isSelected = call.id === selected;
    const known = drawn.get(call.id);
    if (known?.call === call && known.isSelected === isSelected) return known;
    const texts = [clock(call.at), call.handler, subject(call), status(call), millis(call.elapsed_ms)];
    const [time, name, what, code, took] = texts;
    const title = `${call.method} ${call.path}${call.event ? `, ${call.event}` : ''}`;
    const vnode = h.div(
      {
        key: call.id,
        class: 'row',
        role: 'option',
        id: `call-${call.id}`,
        'aria-selected': String(isSelected),
        'data-id': call.id,
        'data-outcome': call.outcome,
      },
      h.span({ class: 'dot', role: 'img', 'aria-label': outcomeOf(call) }),
      h.span({ class: 'time' }, time),
      h.span({ class: 'key' }, name),
      h.span({ class: 'subject dim', title }, what),
      h.span({ class: 'status' }, code),
      h.span({ class: 'took' }, took),
    );
    return { call, isSelected, vnode, text: words(call) };
  }

  function update() {
    const calls = [...model.calls.values()].sort((one, other) => one.id - other.id);
    const rows = calls.map(row);
    const shown = rows.filter(({ text }) => terms.every((term) => text.includes(term)));
    drawn = new Map(rows.map((one) => [one.call.id, one]));
    draw(
      side,
      h.div(
        { class: 'tools' },
        h.input({
          type: 'search',
          placeholder: 'Filter',
          'aria-label': 'Filter calls',
          'aria-keyshortcuts': '/',
          oninput: ({ target }) => filterBy(target.value),
          title: 'Words that the listed calls have: key, event, path, status, outcome or origin',
        }),
        h.span({ class: 'dim count' }, terms.length === 0 ? rows.length : `${shown.length} of ${rows.length}`),
        button(isFollowing ? 'Following' : unseen > 0 ? `Follow (${unseen})` : 'Follow', () => follow(true), {
          class: 'quiet follow',
          'aria-pressed': String(isFollowing),
          'aria-keyshortcuts': 'f',
        }),
      ),
      h.div(
        { class: 'row head', 'aria-hidden': 'true' },
        ['', 'Time', 'Handler', 'Event or path', 'Status', 'Took'].map((name) => h.span(name)),
      ),
      h.div(
        {
          class: 'rows',
          role: 'listbox',
          'aria-label': 'Calls',
          'aria-activedescendant': drawn.has(selected) ? `call-${selected}` : null,
          tabindex: 0,
          hidden: rows.length === 0,
          onscroll: scrolled,
          onclick: clicked,
        },
        shown.map(({ vnode }) => vnode),
      ),
      rows.length === 0 &&
        empty(
          'No calls yet',
          'Schedules are called when ',
          h.code('dev'),
          ' starts. Any handler can be called from ',
          h.a({ href: '#/handlers' }, 'Handlers'),
          ' or with ',
          h.code('cargo run -- invoke KEY'),
          '.',
        ),
    );
    if (isFollowing) scrollTo(list().scrollHeight);
  }

  subscribe('calls', (ids) => {
    const before = drawn;
    const isShown = ({ text }) => terms.every((term) => text.includes(term));
    const removed = [...before.values()].filter((one) => !model.calls.has(one.call.id) && isShown(one)).length;
    const added = [...ids].filter((id) => !before.has(id)).length;
    const top = list().scrollTop;
    if (!isFollowing && added > 0 && list().scrollHeight > list().clientHeight) unseen += added;
    update();
    // The oldest rows end above the visible ones, which must not move.
    if (removed > 0 && !isFollowing) scrollTo(top - removed * ROW);
    if (ids.has(selected)) detail.update(model.calls.get(selected));
    // The first call is selected, so that it shows without a click.
    if (selected === null && drawn.size > 0 && !element.hidden) open([...drawn.keys()].at(-1));
  });

  function scrollTo(top) {
    list().scrollTop = top;
    ownScroll = list().scrollTop;
  }

  function scrolled() {
    const { scrollTop, clientHeight, scrollHeight } = list();
    if (Math.abs(scrollTop - ownScroll) < 2) return;
    ownScroll = scrollTop;
    const isAtEnd = scrollTop + clientHeight > scrollHeight - ROW;
    if (isAtEnd !== isFollowing) follow(isAtEnd);
  }

  function follow(wanted) {
    isFollowing = wanted;
    unseen = 0;
    update();
  }

  function filterBy(text) {
    terms = text.toLowerCase().split(/\s+/).filter(Boolean);
    update();
  }

  function clicked(event) {
    const row = event.target.closest('.row');
    if (row) select(Number(row.dataset.id));
  }

  /** Selects a call as the user does: the list then does not scroll. */
  function select(id) {
    isFollowing = false;
    unseen = 0;
    navigate(`/calls/${id}`, { replaces: true });
  }

  function open(id) {
    selected = id;
    update();
    const row = side.querySelector(`#call-${id}`);
    if (row && !isFollowing) {
      const { scrollTop, clientHeight } = list();
      if (row.offsetTop < scrollTop) scrollTo(row.offsetTop);
      else if (row.offsetTop + ROW > scrollTop + clientHeight) scrollTo(row.offsetTop + ROW - clientHeight);
    }
    detail.open(id, model.calls.get(id));
  }

  function move(step) {
    const shown = [...list().children].map((row) => Number(row.dataset.id));
    const at = shown.indexOf(selected);
    const next = at < 0 ? shown.at(-1) : shown[Math.min(Math.max(at + step, 0), shown.length - 1)];
    if (next === undefined) return;
    select(next);
    // A screen reader reads the option that the focused list names.
    if (!element.contains(document.activeElement)) list().focus();
  }

  update();
  return {
    element,
    show(id) {
      update();
      if (id !== undefined) open(Number(id));
      else if (selected !== null) open(selected);
      else if (drawn.size > 0) open([...drawn.keys()].at(-1));
    },
    key(name) {
      if (name === 'j' || name === 'ArrowDown') move(1);
      else if (name === 'k' || name === 'ArrowUp') move(-1);
      else if (name === 'Home') move(-drawn.size);
      else if (name === 'End') move(drawn.size);
      else if (name === '/') filter().focus();
      else if (name === 'f') follow(!isFollowing);
      else if (name === 'Escape' && (document.activeElement === filter() || filter().value !== '')) {
        filter().value = '';
        filterBy('');
        list().focus();
      } else if (name === 'Escape' && detail.element.contains(document.activeElement)) list().focus();
      else return detail.key(name);
      return true;
    },
  };
}
