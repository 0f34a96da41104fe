/** Every block of docs/recipes is run against a server with the embedded models, and prints what the page says. */
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readAnnotations } from '../../src/evaluation/annotations.js';
import { hasLanguages, PYTHON, recipesOf, type Language, type Recipe } from '../support/recipes.js';
import { startServer, type ServerProcess } from '../support/server.js';
import { ENTRY } from '../support/command-line.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGES = join(ROOT, 'docs', 'recipes');
const PHOTOS = join(ROOT, 'test', 'fixtures', 'photos');
const DOCUMENTED = 'http://127.0.0.1:8080';

let server: ServerProcess;
let folder: string;
beforeAll(async () => {
  server = await startServer({});
  folder = await mkdtemp(join(tmpdir(), 'fullconv-recipes-'));
});
afterAll(async () => {
  await server.stop();
  await rm(folder, { recursive: true });
});

/** A folder with the photographs, and with the package installed, as a reader of the page would have it. */
async function workplace(name: string): Promise<string> {
  const place = join(folder, name);
  await mkdir(join(place, 'node_modules'), { recursive: true });
  await symlink(ROOT, join(place, 'node_modules', 'fullconv'), 'dir');
  await mkdir(join(place, 'node_modules', '.bin'));
  await symlink(ENTRY, join(place, 'node_modules', '.bin', 'fullconv'));
  for (const photo of await readdir(PHOTOS)) await copyFile(join(PHOTOS, photo), join(place, photo));
  return place;
}

async function run({ language, program }: Recipe, place: string, url = server.url): Promise<string> {
  const file = join(place, `recipe.${language === 'js' ? 'mjs' : language}`);
  await writeFile(file, program.replaceAll(DOCUMENTED, url));
  const commands: Record<Language, [string, ...string[]]> = {
    sh: ['bash', '-euo', 'pipefail', file],
    js: [process.execPath, file],
    python: [PYTHON, file],
  };
  const [command, ...args] = commands[language];
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: place, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return stdout;
}

/** Run a page from its top; what it wrote lies in the folder that is returned. */
async function runPage(name: string, recipes: readonly Recipe[]): Promise<string> {
  const place = await workplace(name);
  for (const recipe of recipes) {
    const printed = await run(recipe, place);
    if (recipe.prints !== undefined) expect(printed, recipe.program).toBe(recipe.prints);
  }
  return place;
}

const pages = new Map(
  await Promise.all(
    (await readdir(PAGES))
      .filter((page) => page !== 'README.md')
      .map(async (page) => [page, recipesOf(await readFile(join(PAGES, page), 'utf8'))] as const),
  ),
);
const runs = (page: string): boolean => hasLanguages(pages.get(page)!);

type Ring = [number, number][];

/** Twice the area that a ring of longitudes and latitudes encloses, positive counter-clockwise. */
const doubleArea = (ring: Ring): number =>
  ring.slice(1).reduce((sum, [x, y], point) => sum + ring[point]![0] * y - x * ring[point]![1], 0);

describe('the recipes', () => {
  it('stand on pages that the list names, and say what they print', async () => {
    const list = await readFile(join(PAGES, 'README.md'), 'utf8');
    for (const [page, recipes] of pages) {
      expect(list).toContain(`](${page})`);
      expect(recipes.filter(({ prints }) => prints !== undefined).length, page).toBeGreaterThan(1);
    }
  });

  it.runIf(runs('curl.md'))('for curl', async () => {
    const place = await runPage('curl', pages.get('curl.md')!);
    expect(await sharp(await readFile(join(place, 'heatmap.png'))).metadata()).toMatchObject({
      width: 600,
      height: 400,
    });
    expect(await sharp(await readFile(join(place, 'sheet.webp'))).metadata()).toMatchObject({
      format: 'webp',
      width: 1200,
    });
  });

  it('for JavaScript', async () => {
    const place = await runPage('javascript', pages.get('javascript.md')!);
    expect(await sharp(await readFile(join(place, 'contours.webp'))).metadata()).toMatchObject({
      format: 'webp',
      width: 600,
    });
  });

  it.runIf(runs('python.md'))('for Python', () => runPage('python', pages.get('python.md')!));

  it.runIf(runs('keys.md'))('for keys, of a server that is started with the file of the first one', async () => {
    const place = await workplace('keys');
    const [first, ...others] = pages.get('keys.md')!;
    expect(await run(first!, place)).toBe(first!.prints);
    const keyed = await startServer({ FULLCONV_KEYS: join(place, 'keys.json') });
    try {
      for (const recipe of others) expect(await run(recipe, place, keyed.url), recipe.program).toBe(recipe.prints);
    } finally {
      await keyed.stop();
    }
  });

  it.runIf(runs('labelling-tools.md'))('for labelling tools: COCO and GeoJSON that are valid', async () => {
    const place = await runPage('labelling', pages.get('labelling-tools.md')!);
    const cases = await readAnnotations(join(place, 'annotations.json'));
    expect(new Set(cases.map(({ file }) => file))).toEqual(new Set(['coffee.png', 'chelsea.png']));
    expect(cases.find(({ file, category }) => file === 'coffee.png' && category === 'espresso')?.mask()).toBeDefined();

    // RFC 7946: closed rings of at least four positions, outlines counter-clockwise, holes clockwise, in degrees.
    const layer = JSON.parse(await readFile(join(place, 'coffee.geojson'), 'utf8')) as {
      type: string;
      features: { type: string; geometry: { type: string; coordinates: Ring[][] }; properties: { share: number } }[];
    };
    expect(layer.type).toBe('FeatureCollection');
    for (const { type, geometry } of layer.features) {
      expect([type, geometry.type]).toEqual(['Feature', 'MultiPolygon']);
      for (const [position, ring] of geometry.coordinates.flatMap((polygon) => [...polygon.entries()])) {
        expect(ring.length).toBeGreaterThanOrEqual(4);
        expect(ring.at(-1)).toEqual(ring[0]);
        expect(Math.sign(doubleArea(ring))).toBe(position === 0 ? 1 : -1);
      }
    }
    // The photo's 600×400 pixels, half a pixel around the centres of the first and the last.
    const points = layer.features.flatMap(({ geometry }) => geometry.coordinates.flat(2));
    const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
    expect(Math.min(...xs)).toBeGreaterThanOrEqual(8.5 - 0.5e-5 - 1e-12);
    expect(Math.max(...xs)).toBeLessThanOrEqual(8.5 + 599.5e-5 + 1e-12);
    expect(Math.max(...ys)).toBeLessThanOrEqual(47.4 + 0.5e-5 + 1e-12);
    expect(Math.min(...ys)).toBeGreaterThanOrEqual(47.4 - 399.5e-5 - 1e-12);
    const raster = await sharp(await readFile(join(place, 'espresso.png'))).metadata();
    expect(raster).toMatchObject({ width: 600, height: 400, depth: 'ushort' });
  });
});
