// A newcomer's first steps, in Chromium: within ten seconds of the start of `dev`, and without a click, the page shows the
// hourly call with its claims and its log; one key repeats it. Its copied tests are written to a file, to be compiled.
//
//   node newcomer.mjs PROGRAM --tests-to FILE
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

import { check, session } from './session.mjs';

const {
  values: options,
  positionals: [program],
} = parseArgs({ allowPositionals: true, options: { 'tests-to': { type: 'string' } } });
if (!program || !options['tests-to']) {
  console.error('usage: node newcomer.mjs PROGRAM --tests-to FILE');
  process.exit(2);
}
const LIMIT = 10_000;
let started;

/** Starts `dev`, and returns the link that it prints. */
function dev() {
  started = performance.now();
  const env = { ...process.env, FORGE_REMOTE_BIND: '127.0.0.1:0' };
  const child = spawn(program, ['dev', '--platform-port', '0'], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  process.on('exit', () => child.kill());
  return new Promise((resolve, reject) => {
    child.on('exit', () => reject(new Error(`${program} printed no link`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line.startsWith('console: ')) resolve(line.slice('console: '.length));
    });
  });
}

const { api, step, page, detail, openCall, opened, finish } = await session(dev);
const section = (name) => detail.locator(`[data-section="${name}"]`);
let hourly;

await step('shows the hourly call, its claims and its log within ten seconds', async () => {
  await section('claims').getByText('installationId').first().waitFor();
  await section('log').locator('.log-line').first().waitFor();
  const took = performance.now() - started;
  check(took < LIMIT, `it took ${Math.round(took)} ms from the start of dev`);
  const { calls } = await api('/calls');
  check(calls.length === 1 && calls[0].origin === 'schedule', `the calls are ${JSON.stringify(calls)}`);
  // A call has log lines before it has ended.
  await detail.getByText('200 passed').waitFor();
  hourly = await api(`/calls/${calls[0].id}`);
  const handler = (await api('/handlers')).find((one) => one.id === hourly.handler);
  check(handler.interval_seconds === 3600, `the call is of ${hourly.handler}`);
  for (const { message } of hourly.log) await section('log').getByText(message).first().waitFor();
  await section('claims').getByText(hourly.claims.aud).first().waitFor();
  console.log(`      ${Math.round(took)} ms after the start of dev`);
});

await step('makes it again with one key', async () => {
  await page.keyboard.press('r');
  await detail.getByRole('link', { name: `call ${hourly.id}` }).waitFor();
  await detail.getByText('200 passed').waitFor();
  const again = (await api('/calls')).calls.at(-1);
  check(again.repeats === hourly.id, `call ${again.id} does not repeat call ${hourly.id}`);
  check(again.status === hourly.status, `its status is ${again.status}`);
  await opened(again.id);
});

/** Copies the test of the call that is shown. */
async function copied() {
  await detail.getByRole('button', { name: 'Copy test' }).click();
  await detail.getByText('The test is copied').waitFor();
  return page.evaluate(() => navigator.clipboard.readText());
}

await step('copies calls as tests', async () => {
  const first = await copied();
  check(first === hourly.rust_test && first.includes('#[tokio::test]'), `the clipboard has ${first}`);
  // The same handler and the same status, with a different body.
  const { id } = await api(`/handlers/${hourly.handler}/call`, 'POST', { body: '{"another": "body"}' });
  await openCall(page.locator(`#call-${id}`));
  await section('request').getByText('another').waitFor();
  await detail.getByText('200 passed').waitFor();
  writeFileSync(options['tests-to'], `${first}\n${await copied()}`);
});

await step('has no test of a call without a response', async () => {
  // An invalid path cannot be requested.
  const { id } = await api(`/handlers/${hourly.handler}/call`, 'POST', { subpath: 'a b' });
  await openCall(page.locator(`#call-${id}`));
  await section('response').getByText('The app sent no response.').waitFor();
  await detail.getByRole('button', { name: 'Copy test' }).click();
  await detail.getByText('A call without a response has no test to copy').waitFor();
});

await finish('the first look');
