// A browser with the console's page in it, and the steps of a test.
import { existsSync } from 'node:fs';

import { chromium } from 'playwright-core';

const USUAL = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/opt/google/chrome/chrome'];
const SIZE = { width: 1280, height: 800 };

export function check(condition, message) {
  if (!condition) throw new Error(message);
}

/** Opens the page at the link that `dev` prints; `start` returns it once there is a browser. */
export async function session(start) {
  const executablePath = process.env.CHROMIUM ?? USUAL.find(existsSync);
  if (!executablePath) {
    console.error(`no Chromium at ${USUAL.join(', ')}: install one, or set CHROMIUM to its path`);
    process.exit(2);
  }
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
  const link = typeof start === 'string' ? start : await start();
  const [page_url, secret] = link.split('#');

  async function api(path, method = 'GET', body = undefined) {
    const response = await fetch(`${page_url}/api${path}`, {
      method,
      headers: { 'x-console-secret': secret, ...(method === 'POST' && { 'content-type': 'application/json' }) },
      body: method === 'POST' ? JSON.stringify(body ?? {}) : undefined,
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** A page whose console errors, exceptions and policy violations are failures. */
  async function open(url, settings = {}) {
    const context = await browser.newContext({ viewport: SIZE, ...settings });
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: new URL(page_url).origin });
    const page = await context.newPage();
    page.setDefaultTimeout(30_000);
    page.problems = [];
    // The browser logs each 4xx of `fetch`; the checks that cause one expect it.
    page.on('console', (message) => {
      if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) page.problems.push(message.text());
    });
    page.on('pageerror', (error) => page.problems.push(error.stack ?? error.message));
    page.on('response', (response) => {
      if (response.status() >= 400 && !response.url().includes('/console/api/'))
        page.problems.push(`${response.status()} ${response.url()}`);
    });
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', (event) =>
        console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`),
      );
    });
    await page.goto(url);
    return page;
  }

  const page = await open(link);
  const failures = [];

  async function step(name, run) {
    const began = performance.now();
    try {
      await run();
      check(page.problems.length === 0, `the browser's console has errors:\n${page.problems.join('\n')}`);
      console.log(`ok    ${name}  ${Math.round(performance.now() - began)} ms`);
    } catch (error) {
      failures.push(name);
      page.problems = [];
      console.log(`FAIL  ${name}\n      ${(error.stack ?? String(error)).replaceAll('\n', '\n      ')}`);
      await page.keyboard.press('Escape');
    }
  }

  const detail = page.locator('[aria-label="Call"]');

  /** Opens the call of a row, and waits until the page shows it: until then, the former call's parts are visible. */
  async function openCall(line) {
    await line.click();
    await opened(await line.getAttribute('data-id'));
  }

  /** Waits until the page shows this call. */
  const opened = (id) => page.locator(`[aria-label="Call"][data-shown="${id}"]`).waitFor();

  /** Ends the process: with 1 if a step failed. */
  async function finish(what) {
    await browser.close();
    console.log(failures.length === 0 ? `${what} works` : `${failures.length} failed: ${failures.join('; ')}`);
    process.exit(failures.length === 0 ? 0 : 1);
  }

  return { page_url, secret, api, open, step, page, detail, openCall, opened, finish };
}
