// Tests the tabs Jobs and Tokens of the console in Chromium, against a running `jobs_app dev`.
//
//   node jobs.mjs LINK [--screenshots DIR]
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { check, session } from './session.mjs';

const {
  values: options,
  positionals: [link],
} = parseArgs({ allowPositionals: true, options: { screenshots: { type: 'string' } } });
if (!link?.includes('/console#')) {
  console.error('usage: node jobs.mjs http://127.0.0.1:PORT/console#SECRET [--screenshots DIR]');
  process.exit(2);
}
const { api, open, step, page, detail, openCall, finish } = await session(link);

const rows = page.locator('table.jobs tbody tr');
const row = (handler) => rows.filter({ has: page.locator('td.handler', { hasText: handler }) });
const none = (state) => page.getByText(`No ${state} jobs`).waitFor();
const call = (handler, how) => api(`/handlers/${handler}/call`, 'POST', { body: JSON.stringify({ how }) });
const stored = async () => (await api('/jobs')).jobs;
const states = async () => (await stored()).map((job) => `${job.handler} ${job.state} ${job.attempts}`);

async function show(state) {
  await page.getByRole('group', { name: 'State' }).getByRole('button', { name: state, exact: true }).click();
}

/** Waits until these are the stored jobs, as `handler state attempts`, in any order. */
async function settled(expected) {
  const wanted = expected.toSorted().join();
  let found;
  for (let at = 0; at < 300; at += 1) {
    found = (await states()).toSorted().join();
    if (found === wanted) return;
    await page.waitForTimeout(100);
  }
  throw new Error(`the jobs are ${found}, not ${wanted}`);
}

/** Discards the job in a row, after the confirmation. */
async function discard(line) {
  await line.getByRole('button', { name: 'Discard', exact: true }).click();
  await line.getByRole('button', { name: 'Discard now' }).click();
}

await step('shows the installations with a token, and no token', async () => {
  await page.locator('.connection[data-state="live"]').waitFor();
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Tokens' }).click();
  const view = page.locator('section[aria-label="Tokens"]');
  await view.locator('tbody tr').first().waitFor();
  const { installations } = await api('/tokens');
  check((await view.locator('tbody tr').count()) === installations.length, 'not each installation has a row');
  check(!/eyJ/.test(JSON.stringify(installations) + (await page.content())), 'a token is shown');
});

await step('has an empty tab before the first call', async () => {
  await page.locator('.connection[data-state="live"]').waitFor();
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Jobs' }).click();
  for (const state of ['Waiting', 'Running', 'Failed', 'Dead']) {
    await show(state);
    await none(state.toLowerCase());
    check(await page.locator('table.jobs').isHidden(), `the table of ${state} is shown without rows`);
  }
});

await step('shows the jobs that wait, run, have failed and are dead', async () => {
  await call('index', 'fails');
  await call('index', 'dies');
  await call('export', 'hangs');
  await settled(['index waiting 1', 'index dead 1', 'export running 1']);
  // A job of the same installation, so it waits for the job that hangs.
  await call('export', 'quick');
  await settled(['index waiting 1', 'index dead 1', 'export running 1', 'export waiting 0']);
  for (const [state, handler, attempts, error] of [
    ['Waiting', 'export', '0 of 9', ''],
    ['Running', 'export', '1 of 9', ''],
    ['Failed', 'index', '1 of 4', 'the search index is down'],
    ['Dead', 'index', '1 of 4', 'the project is gone'],
  ]) {
    await show(state);
    await row(handler).waitFor();
    check((await rows.count()) === 1, `${await rows.count()} jobs are ${state}`);
    const text = async (cell) => row(handler).locator(`td.${cell}`).textContent();
    check((await text('attempts')) === attempts, `${state}: the attempts are ${await text('attempts')}`);
    check((await text('error')).includes(error), `${state}: the error is ${await text('error')}`);
    check((error === '') === ((await text('error')) === ''), `${state}: the error is ${await text('error')}`);
    const canRetry = (await row(handler).getByRole('button', { name: 'Retry' }).count()) === 1;
    check(canRetry === (state !== 'Running'), `${state}: Retry is ${canRetry ? '' : 'not '}there`);
  }
});

async function screenshots(folder) {
  mkdirSync(folder, { recursive: true });
  for (const colorScheme of ['light', 'dark']) {
    const shown = await open(link, { colorScheme, reducedMotion: 'reduce' });
    await shown.locator('.connection[data-state="live"]').waitFor();
    const views = shown.getByRole('navigation', { name: 'Views' });
    await views.getByRole('link', { name: 'Jobs' }).click();
    await shown.getByRole('button', { name: 'Failed' }).click();
    await shown.locator('table.jobs tbody tr').first().waitFor();
    await shown.screenshot({ path: join(folder, `jobs-${colorScheme}.png`) });
    await views.getByRole('link', { name: 'Schedules' }).click();
    await shown.locator('tr[data-key="report"]').waitFor();
    await shown.screenshot({ path: join(folder, `schedules-${colorScheme}.png`) });
    await views.getByRole('link', { name: 'Tokens' }).click();
    await shown.locator('section[aria-label="Tokens"] tbody tr').first().waitFor();
    await shown.screenshot({ path: join(folder, `tokens-${colorScheme}.png`) });
    check(shown.problems.length === 0, shown.problems.join('\n'));
    await shown.context().close();
  }
}

if (options.screenshots) await step('writes screenshots', () => screenshots(options.screenshots));

await step('runs a failed and a dead job again', async () => {
  for (const state of ['Failed', 'Dead']) {
    await show(state);
    await row('index').getByRole('button', { name: 'Retry' }).click();
    await none(state.toLowerCase());
  }
  await settled(['index done 2', 'index done 2', 'export running 1', 'export waiting 0']);
});

await step('discards no job without a confirmation', async () => {
  await show('Waiting');
  const line = row('export');
  await line.getByRole('button', { name: 'Discard', exact: true }).click();
  await line.getByRole('button', { name: 'Discard now' }).waitFor();
  await page.keyboard.press('Escape');
  await line.getByRole('button', { name: 'Discard', exact: true }).click();
  await line.getByRole('button', { name: 'Keep' }).click();
  await line.getByRole('button', { name: 'Discard', exact: true }).waitFor();
  check((await states()).includes('export waiting 0'), 'the job was discarded');
});

await step('discards a waiting and a dead job, which never run', async () => {
  await discard(row('export'));
  await none('waiting');
  await call('index', 'dies');
  await show('Dead');
  await row('index').waitFor();
  await discard(row('index'));
  await none('dead');
  // A discarded job that waited is remembered as such; a dead one is deleted.
  await settled(['index done 2', 'index done 2', 'export running 1', 'export discarded 0']);
});

await step('makes room for the next job by discarding a running one', async () => {
  await call('export', 'quick');
  await show('Running');
  await discard(row('export'));
  await none('running');
  await settled(['index done 2', 'index done 2', 'export discarded 1', 'export discarded 0', 'export done 1']);
});

await step('shows a cron schedule, fires it, pauses and resumes it', async () => {
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Schedules' }).click();
  const line = page.locator('tr[data-key="report"]');
  await line.getByText('0 3 1 1 * in Europe/Berlin').waitFor();
  const { cron, next_calls } = (await api('/handlers')).find((one) => one.key === 'report');
  check(!cron.waits_for_clock, 'an engine runs it at its time');
  check(next_calls.length === 5 && next_calls.every((one) => /-01-01 03:00$/.test(one.local)), next_calls);
  await line.getByText(`${next_calls[0].local}  in `).waitFor();
  const then = next_calls.slice(1).map((one) => one.local);
  check((await line.locator('.then').textContent()) === then.join(', '), 'the later occurrences are others');
  const width = await page.locator('table.schedules').evaluate((table) => table.scrollWidth - table.parentElement.clientWidth);
  check(width <= 0, `the table is ${width} pixels too wide`);
  await line.getByRole('button', { name: 'Fire now' }).click();
  await page.locator('[aria-label="Schedules"] .result a').click();
  // The handler runs after the clock's response: its line arrives in the open call.
  await page.locator('[data-section="log"]').getByText('the report is sent').waitFor();
  await page.locator('.row .subject', { hasText: 'fires report' }).waitFor();
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Schedules' }).click();
  await line.getByText(/202 passed/).waitFor();
  await line.getByRole('button', { name: 'Pause' }).click();
  await line.getByText('paused').waitFor();
  check((await api('/handlers')).find((one) => one.key === 'report').is_paused, 'the schedule is not paused');
  await line.getByRole('button', { name: 'Resume' }).click();
  await line.getByText(`${next_calls[0].local}  in `).waitFor();
});

const section = (name) => detail.locator(`[data-section="${name}"]`);

await step('shows the log of an open call while its work runs', async () => {
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Calls' }).click();
  const { id } = await api('/handlers/index/call', 'POST', { body: JSON.stringify({ how: 'waits' }) });
  await openCall(page.locator(`#call-${id}`));
  await section('log').getByText('waits for its release').waitFor();
  await api('/handlers/release/call', 'POST');
  await section('log').getByText('was released').waitFor();
});

await step('runs delayed work after the last call of it', async () => {
  const found = await page.evaluate(async () => {
    const { delayed } = await import('/console/timing.js');
    const timers = [];
    let runs = 0;
    const request = delayed(
      () => (runs += 1),
      300,
      (run) => timers.push(run),
    );
    const found = [];
    for (const calls of [1, 2, 0]) {
      for (let at = 0; at < calls; at += 1) request();
      timers.shift()?.();
      found.push(`${runs} ${timers.length}`);
    }
    return found.join();
  });
  // The second call of the second round came while the timer of the first one ran.
  check(found === '1 0,2 1,3 0', `the runs and timers are ${found}`);
});

await step('ignores a response that a later one has overtaken', async () => {
  const found = await page.evaluate(async () => {
    const { newest } = await import('/console/timing.js');
    const started = [];
    const read = newest(() => new Promise((resolve, reject) => started.push({ resolve, reject })));
    const reads = [read(), read(), read(), read()];
    started[1].resolve('second');
    started[0].resolve('first');
    started[3].reject(new Error('fourth'));
    started[2].reject(new Error('third'));
    const ended = await Promise.allSettled(reads);
    return ended.map((one) => one.value ?? one.reason?.message ?? null).join();
  });
  check(found === ',second,,fourth', `the results are ${found}`);
});

await step('shows the log of an open call before its response', async () => {
  const ended = api('/handlers/slow/call', 'POST');
  const line = page.locator('section[aria-label="Calls"] .row[data-id]', { hasText: 'slow' });
  await openCall(line);
  // The opened and selected parts stay while the log grows.
  const headers = section('request').locator('details').first();
  await headers.locator('summary').click();
  await headers.locator('summary').focus();
  await api('/handlers/release/call', 'POST');
  await section('log').getByText('half of it is done').waitFor();
  await section('time').getByText('/rest/api/3/search/jql').waitFor();
  await detail.getByText('The handler is running.').waitFor();
  check((await headers.getAttribute('open')) !== null, 'the headers are closed');
  check(await headers.locator('summary').evaluate((one) => one === document.activeElement), 'the focus is lost');
  await api('/handlers/release/call', 'POST');
  await ended;
  await detail.getByText('200 passed').waitFor();
});

await step('reads a call again that is opened again', async () => {
  // The log of the oldest call has ended long ago.
  const line = page.locator('section[aria-label="Calls"] .row[data-id]').first();
  await openCall(line);
  const path = `/calls/${await line.getAttribute('data-id')}`;
  await Promise.all([page.waitForRequest((request) => request.url().endsWith(path)), line.click()]);
});

await step('says that a list of jobs is cut', async () => {
  const [job] = await stored();
  await page.route('**/console/api/jobs?state=dead', (route) => route.fulfill({ json: { jobs: [job], count: 201 } }));
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Jobs' }).click();
  await show('Dead');
  await page.getByText('The newest 1 of 201.').waitFor();
  await page.unroute('**/console/api/jobs?state=dead');
});

await step('distinguishes handlers that share a key', async () => {
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Handlers' }).click();
  for (const method of ['PUT', 'GET']) {
    const id = `votes (${method} /votes)`;
    await page.getByRole('link', { name: id, exact: true }).click();
    const form = page.locator('form.composer');
    await form.getByRole('button', { name: 'Call' }).click();
    const result = form.locator('.result a');
    await result.waitFor();
    const sent = await api(`/calls/${(await result.getAttribute('href')).split('/').at(-1)}`);
    check(sent.handler === id && sent.method === method, `the call is ${sent.method} of ${sent.handler}`);
  }
});

await step("shows whose call brought an installation's token", async () => {
  await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name: 'Tokens' }).click();
  await page.locator('section[aria-label="Tokens"] tbody tr', { hasText: "a page's call" }).waitFor();
});

await finish('the console of stored work');
