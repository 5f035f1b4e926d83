// The view of calls: a list that follows along, and one call beside it. A row is created once and then updated
// in place; rows have one height, so that nothing moves while calls arrive.

import { callDetail } from './call.js';
import { button, clock, empty, h, millis, setText } from './dom.js';
import { outcomeOf, forgery, status } from './labels.js';
import { model, subscribe } from './model.js';

const ROW = 28;
/** What distinguishes a call from its handler's others. */
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
    call.kind,
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
  const rows = new Map();
  let isFollowing = true;
  let selected = null;
  let terms = [];
  // The calls that have arrived below the visible rows.
  let unseen = 0;
  // The scroll position that this code has set: another one is the user's.
  let ownScroll = 0;

  const list = h.div({
    class: 'rows',
    role: 'listbox',
    'aria-label': 'Calls',
    tabindex: '0',
    onscroll: scrolled,
    onclick: clicked,
  });
  const filter = h.input({
    type: 'search',
    placeholder: 'Filter',
    'aria-label': 'Filter calls',
    'aria-keyshortcuts': '/',
    oninput: filtered,
    title: 'Words that a call must have: its key, event, path, status, outcome or origin',
  });
  const count = h.span({ class: 'dim count' });
  const followButton = button('Following', () => follow(true), {
    class: 'quiet follow',
    'aria-pressed': 'true',
    'aria-keyshortcuts': 'f',
  });
  const none = empty(
    'No calls yet',
    'Schedules are called when ',
    h.code('dev'),
    ' starts. Any handler can be called from ',
    h.a({ href: '#/handlers' }, 'Handlers'),
    ' or with ',
    h.code('cargo run -- invoke KEY'),
    '.',
  );
  const detail = callDetail({ navigate, announce, select });
  const element = h.section(
    { class: 'split', 'aria-label': 'Calls' },
    h.div(
      { class: 'side', role: 'region', 'aria-label': 'List of calls' },
      h.div({ class: 'tools' }, filter, count, followButton),
      h.div(
        { class: 'row head', 'aria-hidden': 'true' },
        ['', 'Time', 'Handler', 'Event or path', 'Status', 'Took'].map((name) => h.span(name)),
      ),
      list,
      none,
    ),
    detail.element,
  );

  function createRow(call) {
    const cells = ['dot', 'time', 'key', 'subject dim', 'status', 'took'].map((name) => h.span({ class: name }));
    const row = {
      call,
      cells,
      element: h.div({ class: 'row', role: 'option', id: `call-${call.id}`, 'aria-selected': 'false' }, cells),
    };
    row.element.dataset.id = call.id;
    cells[0].setAttribute('role', 'img');
    return row;
  }

  function updateRow(row, call) {
    row.call = call;
    row.element.dataset.outcome = call.outcome;
    row.cells[0].setAttribute('aria-label', outcomeOf(call));
    const texts = ['', clock(call.at), call.handler, subject(call), status(call), millis(call.elapsed_ms)];
    row.cells.forEach((cell, at) => setText(cell, texts[at]));
    row.cells[3].title = `${call.method} ${call.path}${call.event ? `, ${call.event}` : ''}`;
    row.text = words(call);
    row.element.hidden = !terms.every((term) => row.text.includes(term));
  }

  /** Puts a row where its id belongs, almost always last. */
  function place(row) {
    let next = null;
    for (
      let before = list.lastElementChild;
      before && Number(before.dataset.id) > row.call.id;
      before = before.previousElementSibling
    )
      next = before;
    list.insertBefore(row.element, next);
  }

  subscribe('calls', (ids) => {
    let removed = 0;
    let added = 0;
    for (const id of ids) {
      const call = model.calls.get(id);
      const row = rows.get(id) ?? createRow(call);
      updateRow(row, call);
      if (!rows.has(id)) {
        rows.set(id, row);
        place(row);
        added += 1;
      }
    }
    for (const [id, row] of rows) {
      if (model.calls.has(id)) break;
      if (!row.element.hidden) removed += ROW;
      row.element.remove();
      rows.delete(id);
    }
    // The oldest rows end above the visible ones, which must not move.
    if (removed > 0 && !isFollowing) scrollTo(list.scrollTop - removed);
    if (ids.has(selected)) detail.update(model.calls.get(selected));
    counted();
    if (isFollowing) toEnd();
    else if (added > 0 && list.scrollHeight > list.clientHeight) {
      unseen += added;
      drawFollow();
    }
    // A newcomer sees the first call without a click.
    if (selected === null && rows.size > 0 && !element.hidden) open([...rows.keys()].at(-1));
  });

  function counted() {
    const shown = terms.length === 0 ? rows.size : [...rows.values()].filter((row) => !row.element.hidden).length;
    setText(count, terms.length === 0 ? `${rows.size}` : `${shown} of ${rows.size}`);
    none.hidden = rows.size > 0;
    list.hidden = rows.size === 0;
  }

  function scrollTo(top) {
    list.scrollTop = top;
    ownScroll = list.scrollTop;
  }

  const toEnd = () => scrollTo(list.scrollHeight);

  function scrolled() {
    if (Math.abs(list.scrollTop - ownScroll) < 2) return;
    ownScroll = list.scrollTop;
    follow(list.scrollTop + list.clientHeight > list.scrollHeight - ROW, false);
  }

  function follow(wanted, moves = true) {
    isFollowing = wanted;
    unseen = 0;
    drawFollow();
    if (wanted && moves) toEnd();
  }

  function drawFollow() {
    setText(followButton, isFollowing ? 'Following' : unseen > 0 ? `Follow (${unseen})` : 'Follow');
    followButton.setAttribute('aria-pressed', String(isFollowing));
  }

  function filtered() {
    terms = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows.values()) row.element.hidden = !terms.every((term) => row.text.includes(term));
    counted();
    if (isFollowing) toEnd();
  }

  function clicked(event) {
    const row = event.target.closest('.row');
    if (row) select(Number(row.dataset.id));
  }

  /** Selects a call as the user does: the list then stays where it is. */
  function select(id) {
    follow(false);
    navigate(`/calls/${id}`, { replaces: true });
  }

  function open(id) {
    const row = (one) => rows.get(one)?.element;
    row(selected)?.setAttribute('aria-selected', 'false');
    selected = id;
    const element = row(id);
    element?.setAttribute('aria-selected', 'true');
    list.setAttribute('aria-activedescendant', element ? element.id : '');
    if (element && !isFollowing) {
      const top = element.offsetTop;
      if (top < list.scrollTop) scrollTo(top);
      else if (top + ROW > list.scrollTop + list.clientHeight) scrollTo(top + ROW - list.clientHeight);
    }
    detail.open(id, model.calls.get(id));
  }

  function move(step) {
    const shown = [...rows.values()].filter((row) => !row.element.hidden).map((row) => row.call.id);
    const at = shown.indexOf(selected);
    const next = at < 0 ? shown.at(-1) : shown[Math.min(Math.max(at + step, 0), shown.length - 1)];
    if (next === undefined) return;
    select(next);
    // A screen reader reads the option that the focused list names.
    if (!element.contains(document.activeElement)) list.focus();
  }

  counted();
  return {
    element,
    show(id) {
      if (isFollowing) toEnd();
      if (id !== undefined) open(Number(id));
      else if (selected !== null) open(selected);
      else if (rows.size > 0) open([...rows.keys()].at(-1));
    },
    key(name) {
      if (name === 'j' || name === 'ArrowDown') move(1);
      else if (name === 'k' || name === 'ArrowUp') move(-1);
      else if (name === 'Home') move(-rows.size);
      else if (name === 'End') move(rows.size);
      else if (name === '/') filter.focus();
      else if (name === 'f') follow(!isFollowing);
      else if (name === 'Escape' && (document.activeElement === filter || filter.value !== '')) {
        filter.value = '';
        filtered();
        list.focus();
      } else if (name === 'Escape' && detail.element.contains(document.activeElement)) list.focus();
      else return detail.key(name);
      return true;
    },
  };
}
