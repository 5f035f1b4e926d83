// The view of the manifest: how the file differs from the code, and what is to be known about it.

import { get, post } from './api.js';
import { button, empty, fill, h, prose } from './dom.js';

export function manifestView() {
  const content = h.div({ class: 'manifest' });
  const report = h.pre({ class: 'report', role: 'status', hidden: true });
  const write = button('Write', writeFile, { class: 'primary write', hidden: true });
  const title = h.h2();
  const element = h.section(
    { class: 'page', 'aria-label': 'Manifest' },
    h.div({ class: 'page-head' }, title, write, button('Compare again', load)),
    report,
    content,
  );

  async function load() {
    try {
      draw(await get('/manifest'));
    } catch (error) {
      fill(content, empty('The manifest is not compared', error.message));
    }
  }

  async function writeFile() {
    write.disabled = true;
    try {
      report.textContent = (await post('/manifest/write')).report;
    } catch (error) {
      report.textContent = error.message;
    }
    report.hidden = report.textContent === '';
    write.disabled = false;
    await load();
  }

  function draw({ path, is_same, diff, findings }) {
    const name = path.split('/').at(-1);
    fill(title, is_same ? `${name} matches the code` : `${name} differs from the code`);
    title.title = path;
    write.textContent = `Write ${name}`;
    write.hidden = is_same;
    fill(
      content,
      findings.length > 0 && h.section({ class: 'findings', 'aria-label': 'Findings' }, findings.map(finding)),
      diff !== '' && h.section({ class: 'diff', 'aria-label': 'Difference', tabindex: '0' }, lines(diff)),
      is_same &&
        findings.length === 0 &&
        empty('Nothing to write', 'The sections that the code declares are in the file as they should be.'),
    );
  }

  return { element, show: load, key: () => false };
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
