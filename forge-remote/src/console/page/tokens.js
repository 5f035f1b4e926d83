// The view of token installations. The tokens stay in the process.

import { get } from './api.js';
import { empty, fill, h, moment, until } from './dom.js';
import { model } from './model.js';

// The ids are ARIs, which differ in their last part.
const name = (ari) => ari.split('/').at(-1);

const SOURCES = { forge: 'a call of Forge', page: "a page's call", store: 'the store' };

export function tokensView() {
  let ticking = null;
  const content = h.div();
  const element = h.section({ class: 'page', 'aria-label': 'Tokens' }, content);

  async function load() {
    try {
      draw((await get('/tokens')).installations);
    } catch (error) {
      fill(content, empty('The installations are not shown', error.message));
    }
  }

  function expiry(iso) {
    if (iso === null) return h.td({ class: 'dim' }, 'unknown');
    const isOver = new Date(iso) < Date.now();
    return h.td(
      { class: isOver ? 'number bad' : 'number' },
      isOver ? `${moment(iso)}  expired` : `${moment(iso)}  in ${until(iso)}`,
    );
  }

  function draw(installations) {
    if (installations.length === 0) {
      fill(
        content,
        empty(
          'No stored tokens',
          'Forge sends a system token with each call of a handler that requests one. ',
          'The newest of each installation is stored.',
        ),
      );
      return;
    }
    fill(
      content,
      h.table(
        h.thead(h.tr(['Installation', 'Site', 'App', 'Source', 'Expires'].map((name) => h.th({ scope: 'col' }, name)))),
        h.tbody(
          installations.map((one) =>
            h.tr(
              h.th({ scope: 'row', class: 'mono', title: one.installation_id }, name(one.installation_id)),
              h.td({ class: 'mono' }, one.cloud_id ?? ''),
              h.td({ class: 'mono', title: one.app_id }, name(one.app_id)),
              h.td(SOURCES[one.source], one.delivered !== null && h.span({ class: 'dim' }, `  ${moment(one.delivered)}`)),
              expiry(one.expires),
            ),
          ),
        ),
      ),
    );
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
