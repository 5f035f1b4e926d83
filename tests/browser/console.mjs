// Tests the console in Chromium, against a running `dev`.
//
//   node console.mjs LINK [--screenshots DIR] [--write-manifest]
//
// LINK is the link that `dev` prints. `--screenshots` writes each tab in light and dark; `--write-manifest` also writes
// the app's manifest.yml.
// `CHROMIUM` is the browser's path, default: the usual ones.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { check, session } from './session.mjs';

const {
  values: options,
  positionals: [link],
} = parseArgs({
  allowPositionals: true,
  options: {
    screenshots: { type: 'string' },
    'write-manifest': { type: 'boolean', default: false },
  },
});
if (!link?.includes('/console#')) {
  console.error(
    'usage: node console.mjs http://127.0.0.1:PORT/console#SECRET [--screenshots DIR] [--write-manifest]',
  );
  process.exit(2);
}
const { page_url, secret, api, open, step, page, detail, openCall, opened, finish } = await session(link);

const handlers = await api('/handlers');
const app = await api('/app');
const scheduled = handlers.find((one) => one.interval_seconds !== null && !one.is_paused);
// A handler that accepts any body: the detail shows the edited one.
const editable = handlers.find((one) => one.samples[0]?.body && !one.samples[0].is_guess) ?? handlers[0];

const row = (id) => page.locator(`#call-${id}`);
const section = (name) => detail.locator(`[data-section="${name}"]`);
const selectedId = () => page.evaluate(() => Number(location.hash.split('/')[2]));
const newestId = async () => (await api('/calls')).calls.at(-1).id;

/** Runs `act`, and waits until the page has selected a call that is newer than all before. */
async function newSelection(act) {
  const before = await newestId();
  await act();
  await page.waitForFunction((id) => Number(location.hash.split('/')[2]) > id, before);
  return selectedId();
}

async function openTab(name) {
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name }).click();
}

async function openInList(id) {
  await openTab('Calls');
  await openCall(row(id));
}

await step('loads, and takes the secret out of the address', async () => {
  await page.locator('.connection[data-state="live"]').waitFor();
  check(!page.url().includes(secret), `the address still has the secret: ${page.url()}`);
  check((await page.title()).startsWith('Calls'), `the title is ${await page.title()}`);
  for (const [tab, isThere] of [
    ['Calls', true],
    ['Handlers', true],
    ['Schedules', true],
    ['Manifest', true],
    ['Jobs', app.has_jobs],
    ['Tokens', app.has_tokens],
  ]) {
    const count = await page.locator('#tabs').getByText(tab, { exact: true }).count();
    check(count === Number(isThere), `the tab ${tab} is there ${count} times`);
  }
});

let first;
if (scheduled) {
  await step('shows a scheduled call with its claims and log', async () => {
    await page.locator('.row:not([data-outcome="running"])', { hasText: scheduled.key }).first().waitFor();
    const { calls } = await api('/calls');
    first = calls.find(
      (call) => call.key === scheduled.key && call.origin === 'schedule' && call.outcome !== 'running',
    );
    check(first, `no call by the schedule of ${scheduled.key}`);
    await openInList(first.id);
    const stored = await api(`/calls/${first.id}`);
    await section('claims').getByText(stored.claims.aud).first().waitFor();
    if (stored.log.length > 0) await section('log').getByText(stored.log[0].message).first().waitFor();
    else
      await section('log')
        .getByText('The handler logged nothing')
        .or(section('log').getByText('own tracing subscriber'))
        .waitFor();
    check(
      stored.request.headers.every(([, value]) => !/eyJ/.test(value)),
      'a header has a token',
    );
  });

  await step('runs a call again with r, and as a retry with t', async () => {
    await openInList(first.id);
    const again = await newSelection(() => page.keyboard.press('r'));
    check((await api(`/calls/${again}`)).repeats === first.id, `call ${again} does not repeat call ${first.id}`);
    await detail.getByRole('link', { name: `call ${first.id}` }).waitFor();
    const [one, other] = [await api(`/calls/${first.id}`), await api(`/calls/${again}`)];
    check(one.request.body === other.request.body, 'the bodies differ');
    await opened(again);
    const retry = await newSelection(() => page.keyboard.press('t'));
    check((await api(`/calls/${retry}`)).retry === 1, `call ${retry} is not a retry`);
  });
}

await step('calls a handler, and remembers its body', async () => {
  await openTab('Handlers');
  await page.locator(`[id="handler-${editable.key}"] a`).click();
  const form = page.locator('form.composer');
  const text = form.locator('textarea');
  const body = `${await text.inputValue()} \n`;
  await text.fill(body);
  await form.getByRole('button', { name: 'Call' }).click();
  const result = form.locator('.result a');
  await result.waitFor();
  const id = Number((await result.getAttribute('href')).split('/').at(-1));
  const sent = await api(`/calls/${id}`);
  check(sent.key === editable.key, `call ${id} is of ${sent.key}`);
  check(sent.request.body === body, `the body is not sent byte for byte: ${JSON.stringify(sent.request.body)}`);
  await page.reload();
  await page.locator('form.composer textarea').waitFor();
  check((await page.locator('form.composer textarea').inputValue()) === body, 'the body is not remembered');
  await page.getByRole('button', { name: 'Use the sample' }).click();
});

let failing;
await step('shows why a forged token is rejected', async () => {
  await openTab('Handlers');
  await page.locator(`[id="handler-${(scheduled ?? editable).key}"] a`).click();
  const form = page.locator('form.composer');
  await form.getByLabel('Forge Invocation Token').selectOption({ label: "another app's audience" });
  await form.getByRole('button', { name: 'Call' }).click();
  await form.locator('.result a').click();
  await detail.getByText('401 rejected as expected').waitFor();
  failing = await selectedId();
  const stored = await api(`/calls/${failing}`);
  check(stored.outcome === 'passed' && stored.forgery === 'other_app', `the outcome is ${stored.outcome}`);
  const reason = [stored.verdict, stored.error, ...stored.notes].filter(Boolean);
  check(reason.length > 0, 'neither verdict nor note says why');
  await detail.getByText(reason[0]).first().waitFor();
});

await step('edits a call and sends it', async () => {
  const source = (await api('/calls')).calls.find((call) => call.key === editable.key && call.outcome !== 'running');
  await openInList(source.id);
  await page.keyboard.press('e');
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  const body = '{"edited": "fail"}';
  await dialog.locator('textarea').fill(body);
  failing = await newSelection(() => page.keyboard.press('Control+Enter'));
  await dialog.waitFor({ state: 'detached' });
  check((await api(`/calls/${failing}`)).request.body === body, 'the edited body was not sent');
  await section('request').getByText('"edited"').waitFor();
});

await step('follows a failing call to its log line', async () => {
  const { calls } = await api('/calls');
  // If no handler rejects a body, the rejection of the forged call is the failure.
  const failed = calls.filter((call) => call.outcome === 'failed');
  const candidates = (failed.length > 0 ? failed : calls.filter((call) => call.forgery)).reverse();
  check(candidates.length > 0, 'no call failed');
  let found;
  for (const call of candidates) {
    const { log } = await api(`/calls/${call.id}`);
    const line = log.findLast((one) => ['ERROR', 'WARN'].includes(one.level)) ?? log.at(-1);
    if (line) found ??= { call, line };
  }
  check(found || !app.has_log, 'no failed call has a log line');
  if (!found) return;
  await openTab('Calls');
  await page.keyboard.press('/');
  await page.getByLabel('Filter calls').fill(`${found.call.status} ${found.call.key}`);
  const shown = await page.locator('.rows .row[data-id]:visible .status').allTextContents();
  check(
    shown.every((status) => status === String(found.call.status)),
    `the filter shows calls with other statuses: ${shown}`,
  );
  await openCall(row(found.call.id));
  await section('log').getByText(found.line.message).last().waitFor();
  await page.keyboard.press('Escape');
  check((await page.getByLabel('Filter calls').inputValue()) === '', 'Esc does not clear the filter');
});

await step('copies a call as a Rust test and as a command', async () => {
  const id = first?.id ?? failing;
  await openInList(id);
  const stored = await api(`/calls/${id}`);
  await detail.getByRole('button', { name: 'Copy test' }).click();
  await detail.getByText('The test is copied').waitFor();
  const test = await page.evaluate(() => navigator.clipboard.readText());
  check(test === stored.rust_test && test.includes('#[tokio::test]'), `the clipboard has ${test}`);
  await detail.getByRole('button', { name: 'Copy command' }).click();
  await detail.getByText('The command is copied').waitFor();
  check(
    (await page.evaluate(() => navigator.clipboard.readText())) === stored.invoke_command,
    'the clipboard has another command',
  );
});

await step('keeps a note while the list is updated', async () => {
  const note = detail.getByText('The command is copied');
  await note.waitFor();
  await page.evaluate(async () => {
    const { model, putCall, subscribe } = await import('/console/model.js');
    const updated = new Promise((resolve) => subscribe('calls', resolve));
    putCall({ ...model.calls.get(Number(location.hash.split('/')[2])) });
    await updated;
  });
  check(await note.isVisible(), 'the note is removed');
});

await step('shows a call that was not fetched at first', async () => {
  const { calls } = await api('/calls');
  const selected = await selectedId();
  const { id } = calls.find((call) => call.outcome !== 'running' && call.id !== selected);
  await page.route(`**/console/api/calls/${id}`, (route) => route.fulfill({ status: 404, json: { error: 'not now' } }));
  await page.evaluate((call) => (location.hash = `#/calls/${call}`), id);
  await detail.getByText('not now').waitFor();
  await page.unroute(`**/console/api/calls/${id}`);
  await page.evaluate(async (call) => {
    const { model, putCall } = await import('/console/model.js');
    putCall({ ...model.calls.get(call) });
  }, id);
  await opened(id);
  await detail.getByText(`call ${id}`, { exact: true }).first().waitFor();
});

await step('edits a call that is not fetched yet', async () => {
  const { calls } = await api('/calls');
  const { id } = calls.findLast((call) => call.outcome !== 'running');
  let respond;
  const pressed = new Promise((resolve) => (respond = resolve));
  await page.route(`**/console/api/calls/${id}`, async (route) => {
    await pressed;
    await route.continue();
  });
  await page.evaluate((call) => (location.hash = `#/calls/${call}`), id);
  await detail.getByText(`call ${id}`, { exact: true }).first().waitFor();
  await page.keyboard.press('e');
  await page.keyboard.press('e');
  respond();
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  check((await dialog.count()) === 1, 'the key opened two dialogs');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await page.unroute(`**/console/api/calls/${id}`);
});

if (scheduled) {
  await step('fires a schedule, pauses and resumes it', async () => {
    await openTab('Schedules');
    const line = page.locator(`tr[data-key="${scheduled.key}"]`);
    await line.getByText(/ in \d/).waitFor();
    const before = await newestId();
    await line.getByRole('button', { name: 'Fire now' }).click();
    await page.locator('[aria-label="Schedules"] .result a').waitFor();
    check((await newestId()) > before, 'no call was made');
    await line.getByRole('button', { name: 'Pause' }).click();
    await line.getByText('paused').waitFor();
    check((await api('/handlers')).find((one) => one.key === scheduled.key).is_paused, 'the schedule is not paused');
    await line.getByRole('button', { name: 'Resume' }).click();
    await line.getByText(/ in \d/).waitFor();
  });
}

if (app.has_jobs) {
  await step('lists jobs, and discards none without a confirmation', async () => {
    await openTab('Jobs');
    for (const state of ['dead', 'running', 'waiting']) {
      await page.getByRole('button', { name: new RegExp(`^${state}$`, 'i') }).click();
      const { jobs } = await api(`/jobs?state=${state}`);
      if (jobs.length === 0) continue;
      const line = page.locator('table.jobs tbody tr').first();
      await line.getByRole('button', { name: 'Discard' }).click();
      await line.getByRole('button', { name: 'Discard now' }).waitFor();
      await page.keyboard.press('Escape');
      await line.getByRole('button', { name: 'Discard', exact: true }).waitFor();
    }
  });
}

await step('is used with the keyboard', async () => {
  await page.locator('body').click({ position: { x: 2, y: 2 } });
  await page.keyboard.press('1');
  check((await page.title()).startsWith('Calls'), '1 does not open the calls');
  await page.keyboard.press('?');
  const help = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await help.waitFor();
  await page.keyboard.press('Escape');
  await help.waitFor({ state: 'hidden' });
  await page.keyboard.press('End');
  const last = await selectedId();
  await page.keyboard.press('k');
  const previous = await selectedId();
  check(previous < last, `k goes from call ${last} to ${previous}`);
  await page.keyboard.press('j');
  check((await selectedId()) === last, 'j does not go back');
  check(
    (await page.locator('[aria-label="Calls"] [aria-selected="true"]').count()) === 1,
    'not exactly one call is selected',
  );
  for (const role of ['banner', 'main', 'navigation'])
    check((await page.getByRole(role).count()) === 1, `not exactly one landmark: ${role}`);
});

await step('keeps the position of the list while calls arrive', async () => {
  await openTab('Calls');
  const { calls } = await api('/calls');
  await row(calls.at(-1).id).click();
  const top = async () => (await row(calls.at(-1).id).boundingBox()).y;
  const before = await top();
  await Promise.all(
    Array.from({ length: 5 }, () => api(`/handlers/${encodeURIComponent(handlers[0].key)}/call`, 'POST')),
  );
  await row(await newestId()).waitFor({ state: 'attached' });
  check((await top()) === before, `the selected row moved by ${(await top()) - before} pixels`);
});

await step('rejects a wrong and a missing secret with the way out', async () => {
  const wrong = await open(`${page_url}#not-the-secret`);
  await wrong.getByText('The secret is not valid').waitFor();
  check((await wrong.locator('.row').count()) === 0, 'a page with a wrong secret shows rows');
  check(wrong.problems.length === 0, wrong.problems.join('\n'));
  // The correct link, opened in the same tab.
  await wrong.goto(link);
  await wrong.locator('.connection[data-state="live"]').waitFor();
  await wrong.context().close();
  const missing = await open(page_url);
  await missing.getByText('Open the link that dev prints').waitFor();
  await missing.context().close();
});

await step('reconnects', async () => {
  const other = await open(link);
  const state = (name) => other.locator(`.connection[data-state="${name}"]`).waitFor();
  await state('live');
  await other.route('**/console/api/**', (route) => route.abort());
  await other.reload();
  await state('lost');
  await other.unroute('**/console/api/**');
  other.problems = [];
  await state('live');
  await other.locator('.row').first().waitFor();
  check(other.problems.length === 0, other.problems.join('\n'));
  await other.context().close();
});

const weight = (call) => 10 * call.outgoing.length + call.log.length;

async function screenshots(folder) {
  mkdirSync(folder, { recursive: true });
  // The call with most to show: one that makes calls, else one that logs.
  const { calls } = await api('/calls');
  const details = await Promise.all(calls.slice(-50).map((call) => api(`/calls/${call.id}`)));
  const richest = details.toSorted((one, other) => weight(other) - weight(one))[0];
  for (const colorScheme of ['light', 'dark']) {
    const shown = await open(link, { colorScheme, reducedMotion: 'reduce' });
    await shown.locator('.connection[data-state="live"]').waitFor();
    for (const tab of await shown.locator('#tabs a').all()) {
      const name = await tab.getAttribute('data-name');
      await tab.click();
      if (name === 'calls' && richest) await shown.locator(`#call-${richest.id}`).click();
      await shown.waitForTimeout(400);
      await shown.screenshot({ path: join(folder, `${name}-${colorScheme}.png`) });
    }
    await shown.keyboard.press('?');
    await shown.screenshot({ path: join(folder, `keys-${colorScheme}.png`) });
    check(shown.problems.length === 0, shown.problems.join('\n'));
    await shown.context().close();
  }
}

// Before the manifest is written, so that the picture shows a difference.
if (options.screenshots) await step('writes screenshots', () => screenshots(options.screenshots));

await step('compares the manifest', async () => {
  await openTab('Manifest');
  const { is_same, diff } = await api('/manifest');
  const view = page.locator('section[aria-label="Manifest"]');
  await view.getByRole('heading', { name: is_same ? /matches the code/ : /differs from the code/ }).waitFor();
  if (diff !== '')
    check((await view.locator('.diff-line.added, .diff-line.removed').count()) > 0, 'the difference has no lines');
  if (!options['write-manifest']) return;
  check(!is_same, '--write-manifest needs a manifest that differs from the code');
  await view.getByRole('button', { name: /^Write/ }).click();
  await view.getByRole('heading', { name: /matches the code/ }).waitFor();
  check((await api('/manifest')).is_same, 'the file still differs from the code');
});

await step('keeps the last 500 calls, and stays quick with many', async () => {
  await openTab('Calls');
  const key = encodeURIComponent(handlers[0].key);
  const began = performance.now();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let at = 0; at < 80; at += 1) await api(`/handlers/${key}/call`, 'POST');
    }),
  );
  const took = performance.now() - began;
  const { calls } = await api('/calls');
  check(calls.length === 500, `dev has ${calls.length} calls`);
  await row(calls.at(-1).id).waitFor({ state: 'attached' });
  const ids = await page
    .locator('[aria-label="Calls"] .rows .row')
    .evaluateAll((rows) => rows.map((one) => Number(one.dataset.id)));
  check(ids.join() === calls.map((call) => call.id).join(), `the page has ${ids.length} calls, dev ${calls.length}`);
  const pressed = performance.now();
  await page.keyboard.press('k');
  await page.keyboard.press('j');
  await detail
    .getByText(`call ${await selectedId()}`, { exact: true })
    .first()
    .waitFor();
  const answered = performance.now() - pressed;
  check(answered < 2000, `a key took ${Math.round(answered)} ms`);
  console.log(
    `      ${calls.length} calls listed after ${Math.round(took)} ms; a key then took ${Math.round(answered)} ms`,
  );
});

await finish('the console');
