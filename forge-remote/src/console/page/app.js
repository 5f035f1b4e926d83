// The page's frame: the secret, the connection, the tabs and the keys.

import { follow, get, hasSecret, reconnect, takeSecret } from './api.js';
import { callsView } from './calls.js';
import { button, container, draw, empty, h, isTyping, openDialog } from './dom.js';
import { handlersView } from './handlers.js';
import { jobsView } from './jobs.js';
import { outcomeOf, status } from './labels.js';
import { manifestView } from './manifest.js';
import { loadCalls, loadHandlers, model, publish, putCall, subscribe } from './model.js';
import { schedulesView } from './schedules.js';
import { delayed } from './timing.js';
import { tokensView } from './tokens.js';

const main = document.getElementById('main');
const tabs = document.getElementById('tabs');
const connection = document.getElementById('connection');
const announcer = document.getElementById('announcer');
const place = container('div', { class: 'place' });

const ANNOUNCE_EVERY = 3000;
const HANDLERS_DELAY = 300;
const KEYS = [
  [['1', '…', '6'], 'Open a tab'],
  [['j', 'k', '↓', '↑'], 'Next and previous row'],
  [['Enter'], 'Go to the detail'],
  [['/'], 'Filter calls'],
  [['f'], 'Follow new calls, or stop'],
  [['r'], 'Run the call again, or call the handler'],
  [['t'], 'Run the call again, as a retry by Forge'],
  [['e'], 'Edit the body and send'],
  [['Ctrl', 'Enter'], 'Send'],
  [['Esc'], 'Close, clear the filter, or leave a field'],
  [['?'], 'Show these keys'],
];

let views = [];
let current = null;

// Routes: the fragment is `#/calls/17`.

function navigate(path, { replaces = false } = {}) {
  history[replaces ? 'replaceState' : 'pushState'](null, '', `#${path}`);
  route();
}

function route() {
  const [, name, value] = location.hash.slice(1).split('/');
  const shown = views.filter((view) => view.isShown?.() ?? true);
  const view = shown.find((one) => one.name === name) ?? shown[0];
  if (!view) return;
  if (current !== view) {
    current?.hide?.();
    for (const one of views) one.element.hidden = one !== view;
    current = view;
    drawTabs();
    document.title = `${view.title} · forge-remote console`;
  }
  view.show(value && decodeURIComponent(value));
}

// Announcements: one sentence for all calls of three seconds.

let announced = 0;
let fresh = new Map();

function announce(text) {
  announcer.textContent = text;
}

subscribe('calls', (ids) => {
  for (const id of ids) {
    const call = model.calls.get(id);
    if (call && call.outcome !== 'running' && id > announced) fresh.set(id, call);
  }
});

setInterval(() => {
  if (fresh.size === 0) return;
  const last = [...fresh.values()].at(-1);
  announced = Math.max(...fresh.keys());
  announce(
    fresh.size === 1 ? `Call ${last.id}: ${last.handler}, ${status(last)} ${outcomeOf(last)}` : `${fresh.size} new calls`,
  );
  fresh = new Map();
}, ANNOUNCE_EVERY);

// The connection.

function showConnection(state) {
  const labels = { live: 'Live', lost: 'Reconnecting', connecting: 'Connecting', rejected: 'Not connected' };
  if (connection.dataset.state !== state && (state === 'lost' || connection.dataset.state === 'lost'))
    announce(state === 'lost' ? 'The connection is lost' : 'Connected again');
  connection.dataset.state = state;
  connection.textContent = labels[state];
  connection.title = state === 'lost' ? '`dev` does not respond. Click to try now.' : '';
}

function reject(title, ...text) {
  showConnection('rejected');
  current?.hide?.();
  views = [];
  current = null;
  draw(tabs);
  document.getElementById('app-url').textContent = '';
  notice(h.div({ class: 'notice', role: 'alert' }, empty(title, text)));
}

/** Shows a text instead of the views. */
function notice(vnode) {
  main.replaceChildren();
  draw(place, vnode);
  main.append(place);
}

async function connected() {
  const app = await get('/app');
  // The ids of calls start from 1 with each start of `dev`.
  if (model.app && model.app.started !== app.started) location.reload();
  const isFirst = model.app === null;
  model.app = app;
  await Promise.all([loadHandlers(), loadCalls()]);
  if (isFirst) start();
  else publish('log', null);
}

// Fast schedules change often.
const scheduleHandlers = delayed(() => loadHandlers().catch(() => {}), HANDLERS_DELAY);

function received(name, data) {
  if (name === 'call') putCall(data);
  else if (name === 'handlers') scheduleHandlers();
  else if (name === 'log') publish('log', data.id);
  else if (name === 'missed') loadCalls().then(() => publish('log', null), () => {});
}

function start() {
  document.getElementById('app-url').textContent = model.app.app_url;
  document.getElementById('app-url').title =
    `${model.app.app_ids.join(' ')} at ${model.app.app_url}; the local platform is ${model.app.platform_url}`;
  drawTabs();
  main.replaceChildren(...views.map((view) => view.element));
  route();
}

function drawTabs() {
  const shown = views.filter((view) => view.isShown?.() ?? true);
  draw(
    tabs,
    shown.map((view, at) =>
      h.a(
        {
          href: `#/${view.name}`,
          'aria-keyshortcuts': String(at + 1),
          'aria-current': view === current ? 'page' : null,
          'data-name': view.name,
        },
        view.title,
      ),
    ),
  );
}

// The keys.

const showKeys = () =>
  openDialog({ class: 'panel help', 'aria-labelledby': 'help-title' }, (close) => [
    h.h2({ id: 'help-title' }, 'Keyboard shortcuts'),
    h.dl(
      { class: 'keys' },
      KEYS.map(([keys, does]) => [h.dt(keys.map((key) => h.kbd(key))), h.dd(does)]),
    ),
    h.div({ class: 'form-end' }, button('Close', close)),
  ]);

function pressed(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector('dialog[open]')) return;
  const { key, target } = event;
  if (isTyping(target)) {
    if (key !== 'Escape') return;
    if (!current?.key(key)) target.blur();
    return;
  }
  const isControl = target instanceof HTMLElement && target.matches('button, a, summary');
  if (isControl && (key === 'Enter' || key === ' ')) return;
  // Arrow keys scroll if the focus is in a detail.
  if (key.startsWith('Arrow') && target instanceof HTMLElement && target.closest('.detail, dialog')) return;
  const tab = tabs.children[Number(key) - 1];
  if (key === '?') showKeys();
  else if (/^[1-9]$/.test(key) && tab) navigate(`/${tab.dataset.name}`);
  else if (!current?.key(key)) return;
  event.preventDefault();
}

async function run() {
  document.addEventListener('keydown', pressed);
  document.getElementById('help-button').addEventListener('click', showKeys);
  connection.addEventListener('click', reconnect);
  window.addEventListener('online', reconnect);
  document.addEventListener('visibilitychange', () => document.hidden || reconnect());
  // A newly printed link, opened in this tab, changes the fragment only.
  window.addEventListener('hashchange', () => (takeSecret() ? location.reload() : route()));
  document.getElementById('skip').addEventListener('click', (event) => {
    event.preventDefault();
    main.focus();
  });
  takeSecret();
  if (!hasSecret()) {
    reject(
      'Open the link that dev prints',
      'The console needs the secret that is in the link. ',
      h.code('cargo run -- dev'),
      ' prints it at launch.',
    );
    return;
  }
  const context = { navigate, announce };
  views = [
    ['calls', 'Calls', callsView],
    ['handlers', 'Handlers', handlersView],
    ['schedules', 'Schedules', schedulesView],
    ['manifest', 'Manifest', manifestView],
    ['jobs', 'Jobs', jobsView],
    ['tokens', 'Tokens', tokensView],
  ].map(([name, title, create]) => ({ ...create(context), name, title }));
  for (const view of views) view.element.hidden = true;
  notice(
    h.div(
      { class: 'notice waiting' },
      empty('Connecting', 'The page shows the calls as soon as ', h.code('dev'), ' responds.'),
    ),
  );
  await follow({ connected, received, changed: showConnection });
  reject(
    'The secret is not valid',
    'Each start of ',
    h.code('dev'),
    ' has its own secret. Open the link that it printed last.',
  );
}

run();
