/** The playground in a real browser, over the embedded models: what a visitor does and sees. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Browser, BrowserContextOptions, Page, Request, Route } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { hasBrowser, launchBrowser } from '../support/browser.js';
import { startServer, type ServerProcess } from '../support/server.js';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const photo = (name: string): string => fileURLToPath(new URL(`../fixtures/photos/${name}`, import.meta.url));

/** The largest scales take two cores some seconds. */
const LONG = { timeout: 120_000 };

let browser: Browser;
let server: ServerProcess;
/** What pages complained about: errors, and violations of the content security policy. */
const complaints: string[] = [];

/** Open the page and wait for the first answer, which is about the first sample. */
async function open(options: BrowserContextOptions = {}, url = server.url): Promise<Page> {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  page.on('console', (message) => {
    if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(error.message));
  await page.goto(url);
  await mapShown(page, 'espresso');
  return page;
}

const best = (page: Page) => page.locator('.bar').first();
const caption = (page: Page) => page.locator('#caption');

async function mapShown(page: Page, label: string): Promise<void> {
  await caption(page).filter({ hasText: label }).waitFor();
}

/** The overlay's pixels, as text. */
const overlay = (page: Page): Promise<string> => page.evaluate('document.getElementById("overlay").toDataURL()');

/** Let the page ask at every scale. */
async function sweep(page: Page): Promise<void> {
  const button = page.locator('#sweep');
  await button.click();
  await button.filter({ hasText: 'Stop' }).waitFor();
  await button.filter({ hasText: 'Try every scale' }).waitFor({ timeout: 60_000 });
}

async function violations(page: Page): Promise<unknown[]> {
  await page.evaluate(await readFile(AXE, 'utf8'));
  const { violations } = await page.evaluate<{ violations: { id: string; nodes: { html: string }[] }[] }>('axe.run()');
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);
}

describe.skipIf(!hasBrowser)('the playground', () => {
  beforeAll(async () => {
    [browser, server] = await Promise.all([launchBrowser(), startServer({ FULLCONV_WORKERS: '2' })]);
  });
  afterAll(async () => {
    await browser.close();
    await server.stop();
  });
  afterEach(async () => {
    await Promise.all(browser.contexts().map((context) => context.close()));
    expect(complaints.splice(0)).toEqual([]);
  });

  it('answers about a picture that is chosen, with the server’s own figures', async () => {
    const page = await open();
    await page.locator('#file').setInputFiles(photo('chelsea.png'));
    await mapShown(page, 'cat');
    const response = await fetch(`${server.url}/v1/classify?fit=whole`, {
      method: 'POST',
      body: new Uint8Array(await readFile(photo('chelsea.png'))),
    });
    const { results } = (await response.json()) as {
      results: { predictions: { label: string; probability: number }[] }[];
    };
    const [first] = results[0]!.predictions;
    expect(await best(page).innerText()).toContain(first!.label);
    expect(await best(page).innerText()).toContain(`${(first!.probability * 100).toFixed(1)} %`);
    expect(await page.locator('#curl').innerText()).toContain("curl --data-binary '@chelsea.png'");
    expect(await page.locator('#timing-map td').allInnerTexts()).toEqual(
      Array.from({ length: 4 }, () => expect.stringMatching(/^\d+\.\d$/) as string),
    );
  });

  it('draws the overlay where the server draws it', async () => {
    const page = await open();
    const fetched = await fetch(`${server.url}/v1/heatmap?fit=whole&size=224&scores=probability&render=heat`, {
      method: 'POST',
      body: new Uint8Array(await (await fetch(await sampleUrl(page))).arrayBuffer()),
    });
    const expected = await sharp(await fetched.arrayBuffer())
      .raw()
      .toBuffer({ resolveWithObject: true });
    const drawn = await sharp(Buffer.from((await overlay(page)).split(',')[1]!, 'base64'))
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    expect([drawn.info.width, drawn.info.height]).toEqual([expected.info.width, expected.info.height]);
    const differences = drawn.data.map((value, i) => Math.abs(value - expected.data[i]!));
    expect(Math.max(...new Set(differences))).toBeLessThanOrEqual(8);
  });

  it('lights the map of the class that is pointed at, and keeps the one that is clicked', async () => {
    const page = await open();
    const before = await overlay(page);
    const second = page.locator('.bar').nth(1);
    const label = await second.locator('.label').innerText();
    const requests: string[] = [];
    page.on('request', (request) => requests.push(request.url()));
    await second.hover();
    await mapShown(page, label);
    expect(await overlay(page)).not.toBe(before);
    await page.mouse.move(0, 0);
    await mapShown(page, 'espresso');
    expect(await overlay(page)).toBe(before);
    await second.click();
    await page.mouse.move(0, 0);
    await mapShown(page, label);
    expect(await second.getAttribute('aria-pressed')).toBe('true');
    expect(requests).toEqual([]);
  });

  it('tells the value under the pointer', async () => {
    const page = await open();
    await page.locator('#photo').hover({ position: { x: 5, y: 5 } });
    await expect.poll(() => caption(page).innerText()).toMatch(/^espresso, \d+\.\d % here \(\d, \d\)$/);
  });

  it('shows how the answer drifts with the scale, and asks only when the slider rests', async () => {
    const page = await open();
    let asked = 0;
    page.on('request', (request) => (asked += request.url().includes('/v1/classify') ? 1 : 0));
    const before = await best(page).innerText();
    await page.locator('#scale').focus();
    for (let stop = 0; stop < 5; stop++) await page.keyboard.press('ArrowRight');
    await page.locator('#scale-text').filter({ hasText: '2× the model’s 224 pixels: an input of 672 × 448' }).waitFor();
    expect(await best(page).innerText()).not.toBe(before);
    expect(asked).toBeLessThan(5);
  });

  it('tells how far a sample can be enlarged until its class is lost, and what is too large', LONG, async () => {
    const page = await open();
    await page.getByText('or try every scale.').waitFor();
    expect(await page.locator('#drift-text').innerText()).toBe('');
    await sweep(page);
    // The largest is more than the server takes, unless it is cut.
    expect(complaints.splice(0)).toEqual([expect.stringContaining('422')]);
    await expect.poll(() => page.locator('#chart circle.lit').count()).toBe(15);
    const chart = (await page.locator('#chart svg').getAttribute('aria-label'))!;
    expect(chart).toMatch(/espresso: .* at 0\.5×, .* at 7×/);
    const espresso = /espresso: ([^.]*(?:\.\d[^.]*)*)/.exec(chart)![1]!.split(', ');
    const shares = [1, 1.1, 1.5, 2, 3, 5].map((scale) =>
      parseFloat(espresso.find((point) => point.endsWith(` at ${scale}×`))!),
    );
    expect(shares).toEqual([...shares].sort((a, b) => b - a));
    expect(await page.locator('#drift-text').innerText()).toMatch(
      /^“espresso” has \d\d\.\d % at 1× and is still first with \d+\.\d % at [\d.]+×\. At [2-5]× it is lost: the network says “.+”\.$/,
    );
    await page.getByText('10×: more pixels than this server takes at once.').waitFor();
    await page.locator('#scale').focus();
    await page.keyboard.press('End');
    await page.locator('#problem').filter({ hasText: 'scale=10 is too large for this image' }).waitFor();
    expect(await page.locator('.bar').count()).toBe(0);
    expect(complaints.splice(0)).toEqual([expect.stringContaining('422')]);
    await page.keyboard.press('Home');
    for (let stop = 0; stop < 4; stop++) await page.keyboard.press('ArrowRight');
    await mapShown(page, 'espresso');

    await page.getByRole('button', { name: 'Take the picture’s centre' }).click();
    await page.locator('#scale-text').filter({ hasText: '224 × 224' }).waitFor();
    expect(await page.locator('#too-large').isVisible()).toBe(false);
    await sweep(page);
    await expect.poll(() => page.locator('#chart circle.lit').count()).toBe(16);
    expect(await page.locator('#drift-text').innerText()).toMatch(/^“espresso” has .* is lost/);
  });

  it('changes what is asked and how it looks', async () => {
    const page = await open();
    const before = await overlay(page);
    await page.locator('#colormap').selectOption('viridis');
    const recolored = await overlay(page);
    expect(recolored).not.toBe(before);
    await page.locator('#opacity').fill('25');
    expect(await page.evaluate('getComputedStyle(document.getElementById("overlay")).opacity')).toBe('0.25');
    await page.locator('#stride').selectOption('8');
    await expect.poll(() => overlay(page)).not.toBe(recolored);
    await page.locator('#average').selectOption({ label: 'mean of three' });
    await page.locator('#flip').check();
    const command = page.locator('#curl');
    await expect
      .poll(() => command.innerText())
      .toMatch(/scale=0\.75&scale=1&scale=1\.5&flip=true&outputStride=8&colormap=viridis&alpha=0\.25/);
    await page.locator('#fit').selectOption('crop');
    await page.locator('#scale-text').filter({ hasText: '224 × 224' }).waitFor();
  });

  it('offers the kinds of maps that a model has', async () => {
    const page = await open();
    const kinds = page.locator('#map-kind');
    expect(await kinds.locator('option').allInnerTexts()).toEqual(['windows (exact)', 'cells (inexact)']);
    const asked = page.waitForRequest((request) => request.url().includes('map=cells'));
    await kinds.selectOption({ label: 'cells (inexact)' });
    expect((await (await asked).response())!.status()).toBe(200);
    await mapShown(page, 'espresso');
    expect(await page.locator('#curl').innerText()).toContain('&map=cells');
    // One whose head sees a window of the last map has no other.
    await page.locator('#model').selectOption('tinyimagenet-vgg11bn-w32');
    await page.getByText('Knows 200 things.').waitFor();
    expect(await kinds.locator('option').allInnerTexts()).toEqual(['windows (exact)']);
    await expect.poll(() => page.locator('#curl').innerText()).not.toContain('map=cells');
  });

  it('finds another class by name, with the keyboard alone', async () => {
    const page = await open();
    await page.locator('#class-search').focus();
    await page.keyboard.type('golden ret');
    await page.keyboard.press('ArrowDown');
    expect(await page.locator('#class-search').getAttribute('aria-activedescendant')).toMatch(/^class-\d+$/);
    await page.keyboard.press('Enter');
    await mapShown(page, 'golden retriever');
    expect(await page.locator('.bar[aria-pressed=true]').innerText()).toContain('golden retriever');
    await page.locator('#photo').focus();
    await page.keyboard.press('ArrowLeft');
    await expect.poll(() => caption(page).innerText()).toMatch(/golden retriever, .* % here/);
  });

  it('knows 1,000 things, and finds each of them by what people type', async () => {
    const page = await open();
    await page.getByText('Knows 1,000 things. Things and animals, learned from 1.3 million photographs').waitFor();
    await page.getByText('fullconv pull resnet50.a1_in1k').waitFor();
    const input = page.locator('#class-search');
    const options = page.locator('#class-options').getByRole('option');
    const offered = async (text: string): Promise<string[]> => {
      await input.fill(text);
      return (await options.allInnerTexts()).map((option) => option.replace('\n', ' '));
    };
    expect(await offered('elefants')).toEqual(['Indian elephant n02504013', 'African elephant n02504458']);
    expect(await page.locator('#class-count').innerText()).toBe('2 classes');
    expect((await offered('zebar'))[0]).toBe('zebra n02391049');
    expect((await offered('')).length).toBe(20);
    expect(await violations(page)).toEqual([]);

    expect((await offered('crane')).slice(0, 2)).toEqual(['crane n02012849', 'crane n03126707']);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await mapShown(page, 'crane (n03126707)');
    expect(await input.inputValue()).toBe('crane (n03126707)');

    expect(await offered('qqqq')).toHaveLength(3);
    expect(await page.locator('#class-count').innerText()).toBe('none; the nearest');
    await page.keyboard.press('Enter');
    expect(await options.count()).toBe(3);

    await page.locator('#model').selectOption('tinyimagenet-resnet18-w48');
    await page.getByText('Knows 200 things.').waitFor();
    expect(await input.getAttribute('placeholder')).toBe('one of 200, by name or id');
  });

  it('can be walked through with the keyboard: every control is reached, and seen to be', async () => {
    const page = await open();
    const reached: string[] = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      reached.push(await page.evaluate<string>('document.activeElement.id || document.activeElement.className'));
      if (reached.at(-1) === 'copy') break;
    }
    expect(reached).toEqual(
      expect.arrayContaining([
        'photo',
        'choose',
        'model',
        'class-search',
        'sweep',
        'scale',
        'opacity',
        'stride',
        'flip',
      ]),
    );
    expect(reached.filter((name) => name.startsWith('bar'))).toHaveLength(5);
    expect(reached.at(-1)).toBe('copy');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
  });

  it.each([
    ['PNG', /\.png$/, '89504e47'],
    ['NPY', /\.npy$/, '934e554d'],
    ['JSON', /\.json$/, Buffer.from('{"mo').toString('hex')],
  ])('gives the map as %s', async (name, file, start) => {
    const page = await open();
    const waiting = page.waitForEvent('download');
    await page.locator('#downloads').getByText(name).click();
    const download = await waiting;
    expect(download.suggestedFilename()).toMatch(file);
    const path = join(tmpdir(), `fullconv-${process.pid}-${download.suggestedFilename()}`);
    await download.saveAs(path);
    expect((await readFile(path)).subarray(0, 4).toString('hex')).toBe(start);
    await rm(path);
  });

  it('shows a picture that only the server can read', async () => {
    const page = await open();
    const tiff = join(tmpdir(), `fullconv-${process.pid}.tiff`);
    await writeFile(tiff, await sharp(photo('chelsea.png')).tiff().toBuffer());
    await page.locator('#file').setInputFiles(tiff);
    await mapShown(page, 'cat');
    await expect.poll(() => page.evaluate('document.getElementById("photo-image").naturalWidth')).toBe(451);
    await rm(tiff);
  });

  it('says what is wrong with a picture, in the server’s words', async () => {
    const page = await open();
    const file = { name: 'notes.png', mimeType: 'image/png', buffer: Buffer.from('no picture at all') };
    await page.locator('#file').setInputFiles(file);
    const problem = page.locator('#problem');
    await problem.waitFor();
    expect(await problem.innerText()).toMatch(/JPEG, PNG/);
    // The browser reports the refusal, and a picture that it cannot show either.
    expect(complaints.splice(0).join()).toMatch(/415/);
    await page.locator('#samples button').first().click();
    await mapShown(page, 'espresso');
    expect(await problem.isVisible()).toBe(false);
  });

  it('says so when the server is gone, and goes on when it is back', async () => {
    const page = await open();
    await page.route('**/v1/**', (route) => route.abort('connectionrefused'));
    await page.locator('#fit').selectOption('crop');
    await page.locator('#problem').filter({ hasText: 'The server does not answer.' }).waitFor();
    expect(complaints.splice(0).join()).toMatch(/ERR_CONNECTION_REFUSED/);
    await page.unroute('**/v1/**');
    await page.getByText('Try again').click();
    await mapShown(page, 'espresso');
    expect(await page.locator('#problem').isVisible()).toBe(false);
  });

  it('takes a picture that is dropped or pasted', async () => {
    const page = await open();
    const give = (event: string): Promise<void> =>
      page.evaluate(`(async () => {
        const bytes = await (await fetch(document.querySelectorAll('#samples img')[1].src)).blob();
        const data = new DataTransfer();
        data.items.add(new File([bytes], '${event}.jpg', { type: 'image/jpeg' }));
        const options = { bubbles: true, cancelable: true };
        document.body.dispatchEvent('${event}' === 'drop'
          ? new DragEvent('drop', { ...options, dataTransfer: data })
          : new ClipboardEvent('paste', { ...options, clipboardData: data }));
      })()`);
    for (const event of ['drop', 'paste']) {
      await give(event);
      await page
        .locator('#progress-text')
        .filter({ hasText: `${event}.jpg: ` })
        .waitFor({ state: 'attached' });
      expect(await page.locator('#photo-image').getAttribute('alt')).toBe(`${event}.jpg`);
    }
  });

  it('leads to the API’s description, which is as accessible', async () => {
    const page = await open({ viewport: { width: 390, height: 844 } });
    await page.getByRole('link', { name: 'API' }).click();
    await page.getByRole('heading', { name: 'POST /v1/heatmap' }).waitFor();
    expect(await violations(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(390);
  });

  it('drops a sample that arrives after a picture was chosen', async () => {
    const page = await open();
    const isFetched = (request: Request): boolean =>
      request.resourceType() === 'fetch' && request.url().endsWith('.jpg');
    const asked = new Promise<Route>((resolve) => {
      void page.route('**/*.jpg', (route) => (isFetched(route.request()) ? resolve(route) : route.continue()));
    });
    await page.locator('#samples button').nth(1).click();
    const late = await asked;
    await page.locator('#file').setInputFiles(photo('grace_hopper.jpg'));
    const said = page.locator('#progress-text');
    await said.filter({ hasText: 'grace_hopper.jpg: ' }).waitFor({ state: 'attached' });
    const arrived = page.waitForEvent('requestfinished', isFetched);
    await late.continue();
    await arrived;
    expect(await page.evaluate('new Promise((resolve) => setTimeout(resolve, 0))')).toBe(undefined);
    expect(await page.locator('#photo-image').getAttribute('alt')).toBe('grace_hopper.jpg');
  });

  it('takes no other answer for a sample', async () => {
    const page = await open();
    await page.route('**/*.jpg', (route) => route.fulfill({ status: 404, body: 'not found' }));
    await page.locator('#samples button').nth(1).click();
    await page.locator('#problem').filter({ hasText: 'The server does not answer.' }).waitFor();
    expect(await page.locator('#photo-image').getAttribute('alt')).toBe('coffee.jpg');
    expect(complaints.splice(0).join()).toMatch(/404/);
  });

  it('stays with its model and that one’s answers when another cannot be had', async () => {
    const page = await open();
    const models = page.locator('#model');
    const other = '**/v1/models/tinyimagenet-vgg11bn-w32';
    await page.route(other, (route) => route.abort('connectionrefused'));
    await models.selectOption('tinyimagenet-vgg11bn-w32');
    await page.locator('#problem').filter({ hasText: 'The server does not answer.' }).waitFor();
    expect(await models.inputValue()).toBe('imagenet-efficientnet-lite0');
    await page.unroute(other);
    await page.getByText('Try again').click();
    await page.getByText('Knows 200 things.').waitFor();
    expect(await models.inputValue()).toBe('tinyimagenet-vgg11bn-w32');
    expect(complaints.splice(0).join()).toMatch(/ERR_CONNECTION_REFUSED/);
  });

  it('says nothing of a model that was given up for another', async () => {
    const page = await open();
    const asked = new Promise<Route>((resolve) => {
      void page.route('**/v1/models/tinyimagenet-vgg11bn-w32', (route) => resolve(route));
    });
    await page.locator('#model').selectOption('tinyimagenet-vgg11bn-w32');
    const late = await asked;
    await page.locator('#model').selectOption('tinyimagenet-resnet18-w48');
    await page.getByText('Knows 200 things.').waitFor();
    await best(page).waitFor();
    const refused = page.waitForEvent('requestfailed');
    await late.abort('connectionrefused');
    await refused;
    expect(await page.evaluate('new Promise((resolve) => setTimeout(resolve, 0))')).toBe(undefined);
    expect(await page.locator('#problem').isVisible()).toBe(false);
    expect(await page.locator('#model').inputValue()).toBe('tinyimagenet-resnet18-w48');
    expect(complaints.splice(0).join()).toMatch(/ERR_CONNECTION_REFUSED/);
  });

  it('asks a model that is not loaded, and shows what it is once it is', async () => {
    const names = ['imagenet-efficientnet-lite0', 'tinyimagenet-vgg11bn-w32', 'broken'];
    const states = ['unloaded', 'unloaded', 'failed'];
    const models = names.map((name, index) => ({ name, state: states[index], default: index === 0 }));
    const looks = new Map<string, number>();
    const context = await browser.newContext();
    const page = await context.newPage();
    await page.route('**/v1/models', (route) => route.fulfill({ json: { device: { names: [], why: '' }, models } }));
    await page.route('**/v1/models/*', async (route) => {
      const name = route.request().url().split('/').at(-1)!;
      looks.set(name, (looks.get(name) ?? 0) + 1);
      if (looks.get(name) === 1) await route.fulfill({ json: { name, state: 'unloaded', default: false } });
      else await route.continue();
    });
    await page.goto(server.url);
    await mapShown(page, 'espresso');
    await page.getByText('Knows 1,000 things.').waitFor();
    const disabled = page.locator('#model option:disabled');
    expect(await disabled.allInnerTexts()).toEqual(['broken: failed']);
    expect(await page.locator('#no-heatmaps').isVisible()).toBe(false);
    await page.locator('#model').selectOption('tinyimagenet-vgg11bn-w32');
    await page.getByText('Knows 200 things.').waitFor();
    await expect.poll(() => page.locator('#curl').innerText()).toContain('/v1/heatmap?model=tinyimagenet-vgg11bn-w32');
    expect([...looks.values()]).toEqual([2, 2]);
  });

  it('asks the server once for a picture that the browser cannot show, even if it cannot show that one either', async () => {
    const page = await open();
    let drawn = 0;
    await page.route(/v1\/heatmap.*alpha=0/, async (route) => {
      drawn += 1;
      await route.fulfill({ contentType: 'image/png', body: 'no picture' });
    });
    const tiff = await sharp(photo('chelsea.png')).tiff().toBuffer();
    await page.locator('#file').setInputFiles({ name: 'cat.tiff', mimeType: 'image/tiff', buffer: tiff });
    await mapShown(page, 'cat');
    await page.locator('#fit').selectOption('crop');
    await page.locator('#scale-text').filter({ hasText: '224 × 224' }).waitFor();
    expect(drawn).toBe(1);
    expect(await page.locator('#photo-image').isVisible()).toBe(false);
  });

  it('asks for a key when one is lacking on the way through the scales', async () => {
    const page = await open();
    const problem = { type: 'about:blank', status: 401, code: 'UNAUTHENTICATED', title: '', detail: 'no' };
    let refused = 0;
    await page.route('**/v1/classify*', async (route) => {
      refused += 1;
      await route.fulfill({ status: 401, contentType: 'application/problem+json', json: problem });
    });
    await page.locator('#sweep').click();
    await page.locator('#key-reason').filter({ hasText: 'This server asks for a key.' }).waitFor();
    expect(refused).toBe(1);
    expect(complaints.splice(0).join()).toMatch(/401/);
  });

  it('says why a model has no heatmaps', async () => {
    const page = await open();
    await page.route('**/v1/models/*', async (route) => {
      const response = await route.fetch();
      const model = (await response.json()) as object;
      await route.fulfill({
        json: { ...model, outputStrides: [], edges: [], heatmapsUnavailable: 'its head is a riddle' },
      });
    });
    await page.locator('#model').selectOption('tinyimagenet-vgg11bn-w32');
    await page.getByText('This model only classifies: its head is a riddle').waitFor();
    await best(page).waitFor();
    expect(await page.locator('#downloads button:enabled').count()).toBe(0);
    expect(await page.locator('#curl').innerText()).not.toContain('/v1/heatmap');
  });

  it.each(['light', 'dark'] as const)('is accessible in %s, on a desk and on a phone', async (colorScheme) => {
    for (const viewport of [
      { width: 1280, height: 900 },
      { width: 390, height: 844 },
    ]) {
      const page = await open({ colorScheme, viewport });
      expect(await violations(page)).toEqual([]);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(viewport.width);
      const background = await page.evaluate<string>('getComputedStyle(document.documentElement).backgroundColor');
      expect(Number(/\d+/.exec(background)![0]) < 128).toBe(colorScheme === 'dark');
    }
  });
});

async function sampleUrl(page: Page): Promise<string> {
  return page.evaluate<string>("document.querySelector('#samples img').src");
}
