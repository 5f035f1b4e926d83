// The view of the manifest: its differences from the code, and the findings.

import { get, post } from './api.js';
import { button, container, draw, empty, h, prose } from './dom.js';
import { newest } from './timing.js';

export function manifestView() {
  const element = container('section', { class: 'page', 'aria-label': 'Manifest' });
  let compared = null;
  let failure = null;
  let report = '';
  let isWriting = false;

  const read = newest(() => get('/manifest'));

  async function load() {
    try {
      const found = await read();
      if (found === null) return;
      compared = found;
      failure = null;
    } catch (error) {
      failure = error.message;
    }
    update();
  }

  async function writeFile() {
    isWriting = true;
    update();
    try {
      report = (await post('/manifest/write')).report;
    } catch (error) {
      report = error.message;
    }
    isWriting = false;
    await load();
  }

  function update() {
    const name = compared?.path.split('/').at(-1);
    draw(
      element,
      h.div(
        { class: 'page-head' },
        compared &&
          h.h2({ title: compared.path }, compared.is_same ? `${name} matches the code` : `${name} differs from the code`),
        compared &&
          !compared.is_same &&
          button(`Write ${name}`, writeFile, { class: 'primary write', disabled: isWriting }),
        button('Compare again', load),
      ),
      report !== '' && h.pre({ class: 'report', role: 'status' }, report),
      h.div(
        { class: 'manifest' },
        failure !== null ? empty('The manifest is not compared', failure) : compared && comparison(compared),
      ),
    );
  }

  return { element, show: load, key: () => false };
}

function comparison({ is_same, diff, findings }) {
  return [
    findings.length > 0 && h.section({ class: 'findings', 'aria-label': 'Findings' }, findings.map(finding)),
    diff !== '' && h.section({ class: 'diff', 'aria-label': 'Difference', tabindex: '0' }, lines(diff)),
    is_same &&
      findings.length === 0 &&
      empty('Nothing to write', 'The file has everything that the code declares.'),
  ];
}

function finding({ code, severity, message, line, column, help, notes, explanation }) {
  return h.article(
    { class: 'finding', 'data-severity': severity },
    h.h3(
      h.span({ class: 'badge' }, severity),
      h.code(code),
      line !== null && h.span({ class: 'dim' }, column === null ? `line ${line}` : `line ${line}, column ${column}`),
    ),
    h.p(prose(message)),
    notes.map((note) => h.p({ class: 'dim' }, prose(note))),
    help && h.p({ class: 'dim' }, 'Help: ', prose(help)),
    explanation &&
      h.details({ class: 'branch' }, h.summary('Explanation'), h.p({ class: 'explanation' }, prose(explanation))),
  );
}

/** The lines of a unified diff, with the numbers of both sides. */
function lines(diff) {
  let [before, after] = [0, 0];
  return diff
    .replace(/\n$/, '')
    .split('\n')
    .map((line) => {
      const hunk = /^@@ -(\d+)(?:,\d+)? \+(\d+)/.exec(line);
      if (hunk) [before, after] = [Number(hunk[1]), Number(hunk[2])];
      const isName = /^(---|\+\+\+) /.test(line) && before === 0;
      const kind = hunk || isName ? 'place' : line[0] === '+' ? 'added' : line[0] === '-' ? 'removed' : 'same';
      const numbers = { place: ['', ''], added: ['', after], removed: [before, ''], same: [before, after] }[kind];
      if (kind === 'same' || kind === 'removed') before += 1;
      if (kind === 'same' || kind === 'added') after += 1;
      return h.div(
        { class: `diff-line ${kind}` },
        h.span({ class: 'line-number', 'aria-hidden': 'true' }, numbers[0]),
        h.span({ class: 'line-number', 'aria-hidden': 'true' }, numbers[1]),
        h.span(line || ' '),
      );
    });
}
