/** The playground before a server that asks for keys, in a real browser. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser } from '../support/browser.js';
import { addKeys, newKeysFile } from '../support/keys.js';
import { startServer, type ServerProcess } from '../support/server.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

let browser: Browser;
let server: ServerProcess;
let keys: Record<'page' | 'metrics', string>;

describe.skipIf(!hasBrowser)('the playground', () => {
  beforeAll(async () => {
    const path = await newKeysFile();
    keys = await addKeys(path, { page: { scopes: ['infer', 'models'] }, metrics: { scopes: ['metrics'] } });
    const settings = { FULLCONV_WORKERS: '2', FULLCONV_KEYS: path };
    [browser, server] = await Promise.all([launchBrowser(), startServer(settings)]);
  });
  afterAll(async () => {
    await browser.close();
    await server.stop();
  });

  /** Type a key, and send it by the keyboard: the field has the focus. */
  async function enter(page: Page, key: string): Promise<void> {
    await page.locator('#key:focus').waitFor();
    await page.keyboard.insertText(key);
    await page.keyboard.press('Enter');
  }
  const reason = (page: Page, text: string) => page.locator('#key-reason').filter({ hasText: text }).waitFor();

  it('asks for a key, says why one is not enough, and keeps the right one in the tab alone', async () => {
    const context = await browser.newContext();
    const page = await context.newPage();
    const asked: { url: string; key: string | undefined }[] = [];
    page.on('request', (request) => asked.push({ url: request.url(), key: request.headers()['authorization'] }));
    await page.goto(server.url);
    await reason(page, 'asks for a key');
    await page.evaluate(await readFile(AXE, 'utf8'));
    const { violations } = await page.evaluate<{ violations: { id: string }[] }>('axe.run()');
    expect(violations.map(({ id }) => id)).toEqual([]);
    const screenshot = process.env['KEY_SCREENSHOT'];
    if (screenshot !== undefined) await page.screenshot({ path: screenshot });

    await enter(page, 'nonsense');
    await reason(page, 'The key is not valid.');
    await enter(page, keys.metrics);
    await reason(page, 'it lacks the scope "models"');
    await enter(page, keys.page);
    await page.locator('#caption').filter({ hasText: 'espresso' }).waitFor();
    expect(await page.locator('#key-form').isVisible()).toBe(false);
    expect(await page.locator('#curl').textContent()).toContain('-H "Authorization: Bearer $FULLCONV_API_KEY"');
    expect(await page.content()).not.toContain(keys.page);

    await page.reload();
    await page.locator('#caption').filter({ hasText: 'espresso' }).waitFor();
    expect(await page.evaluate('localStorage.length + document.cookie.length')).toBe(0);
    expect(asked.some(({ key }) => key === `Bearer ${keys.page}`)).toBe(true);
    for (const { url } of asked) expect(url).not.toContain('fc_');
    const other = await context.newPage();
    await other.goto(server.url);
    await reason(other, 'asks for a key');
    await context.close();
  });

  it('has the key until the page is left where the browser stores nothing', async () => {
    const context = await browser.newContext();
    await context.addInitScript('Storage.prototype.setItem = () => { throw new Error("no room"); };');
    const page = await context.newPage();
    await page.goto(server.url);
    await enter(page, keys.page);
    await page.locator('#caption').filter({ hasText: 'espresso' }).waitFor();
    await context.close();
  });
});
