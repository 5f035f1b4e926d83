// The view of token installations. The tokens stay in the process.

import { get } from './api.js';
import { container, draw, empty, h, moment, until } from './dom.js';
import { model } from './model.js';
import { newest } from './timing.js';

const SOURCES = {
  forge: 'a call of Forge',
  function: "a function's call",
  page: "a page's call",
  store: 'the store',
};

// The ids are ARIs, which differ in their last part.
const name = (ari) => ari.split('/').at(-1);

export function tokensView() {
  let ticking = null;
  const element = container('section', { class: 'page', 'aria-label': 'Tokens' });

  const read = newest(() => get('/tokens'));

  async function load() {
    try {
      const found = await read();
      if (found !== null) draw(element, table(found.installations));
    } catch (error) {
      draw(element, empty('The installations are not shown', error.message));
    }
  }

  return {
    element,
    isShown: () => model.app.has_tokens,
    show() {
      load();
      ticking ??= setInterval(() => document.hidden || load(), 5000);
    },
    hide() {
      clearInterval(ticking);
      ticking = null;
    },
    key: () => false,
  };
}

function table(installations) {
  if (installations.length === 0)
    return empty(
      'No stored tokens',
      'Forge sends a system token with each call of a handler that requests one. ',
      'The newest of each installation is stored.',
    );
  return h.table(
    h.thead(h.tr(['Installation', 'Site', 'App', 'Source', 'Expires'].map((name) => h.th({ scope: 'col' }, name)))),
    h.tbody(
      installations.map((one) =>
        h.tr(
          { key: one.installation_id },
          h.th({ scope: 'row', class: 'mono', title: one.installation_id }, name(one.installation_id)),
          h.td({ class: 'mono' }, one.cloud_id),
          h.td({ class: 'mono', title: one.app_id }, name(one.app_id)),
          h.td(SOURCES[one.source], one.delivered !== null && h.span({ class: 'dim' }, `  ${moment(one.delivered)}`)),
          expiry(one.expires),
        ),
      ),
    ),
  );
}

function expiry(time) {
  const isOver = new Date(time) < Date.now();
  return h.td(
    { class: isOver ? 'number bad' : 'number' },
    isOver ? `${moment(time)}  expired` : `${moment(time)}  in ${until(time)}`,
  );
}
