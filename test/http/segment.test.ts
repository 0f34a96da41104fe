import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { labelColor } from '../../src/drawing/label-color.js';
import { emptyMask, fillRings, fillRuns, type RunLengths } from '../../src/maps/masks.js';
import { UNLABELLED } from '../../src/maps/label-map.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { TINY_CLASSES } from '../support/tiny-models.js';

interface Segments {
  width: number;
  height: number;
  map: { height: number; width: number };
  unlabelled: number;
  classes: {
    index: number;
    color: string;
    share: number;
    polygons?: number[][][][];
    rle?: RunLengths;
    boxes: { x: number; y: number; width: number; height: number }[];
  }[];
}

let app: TestApp;
let cat: Buffer;
beforeAll(async () => {
  app = await startTestApp();
  cat = await readFile(new URL('../fixtures/photos/chelsea.png', import.meta.url));
});
afterAll(() => app.close());

const post = (route: string, accept: string) =>
  app.http.inject({
    method: 'POST',
    url: `/v1/${route}`,
    headers: { accept, 'content-type': 'image/png' },
    payload: cat,
  });
async function segmentsOf(query: string): Promise<Segments> {
  const response = await post(`segment${query}`, 'application/json');
  expect(response.statusCode, response.body).toBe(200);
  return response.json<{ results: Segments[] }>().results[0]!;
}
async function labelsOf(query: string): Promise<Uint16Array> {
  const { rawPayload: bytes } = await post(`segment${query}`, 'application/x-npy');
  const data = bytes.subarray(10 + bytes.readUInt16LE(8));
  return new Uint16Array(new Uint8Array(data).buffer);
}
/** The most probable class of each cell, from the heatmaps of all classes. */
async function bestByHeatmap(query: string): Promise<{ labels: number[]; probabilities: number[] }> {
  const every = Array.from({ length: TINY_CLASSES }, (_, index) => `class=${index}`).join('&');
  const response = await post(`heatmap?${every}${query}`, 'application/json');
  const { classes } = response.json<{ results: { classes: { values: number[][] }[] }[] }>().results[0]!;
  const maps = classes.map(({ values }) => values.flat());
  const probabilities = maps[0]!.map((_, cell) => Math.max(...maps.map((map) => map[cell]!)));
  return { labels: probabilities.map((best, cell) => maps.findIndex((map) => map[cell] === best)), probabilities };
}

describe('POST /v1/segment', () => {
  it.each([
    '&size=160',
    '&size=160&model=tiny-vgg',
    '&model=tiny-vgg&outputStride=8&edge=same',
    '&size=128&flip',
    '&size=96&scale=1,1.5',
  ])('labels each cell with the class whose heatmap is highest there (%s)', async (query) => {
    const labels = await labelsOf(`?${query.slice(1)}`);
    const { labels: expected } = await bestByHeatmap(query);
    expect(Array.from(labels)).toEqual(expected);
  });

  it('gives the areas as polygons and run lengths of the photo’s pixels, where asked for', async () => {
    const { classes, width, height } = await segmentsOf('?size=160&shapes=polygons,rle');
    const covered = emptyMask({ width, height });
    for (const { polygons, rle, share } of classes) {
      const mask = emptyMask({ width, height });
      fillRuns(mask, rle!);
      for (const rings of polygons!)
        fillRings(
          covered,
          rings.map((ring) => ring.slice(1).flat()),
        );
      expect(mask.values.reduce((sum, value) => sum + value, 0) / (width * height)).toBeCloseTo(share, 0);
    }
    expect(covered.values.every((value) => value === 1)).toBe(true);
    const [plain] = (await segmentsOf('?size=160')).classes;
    expect(plain).not.toHaveProperty('polygons');
    expect(plain).not.toHaveProperty('rle');
  });

  it('is the same picture as WebP, and smaller where asked for', async () => {
    const pixelsOf = async (accept: string) =>
      sharp((await post('segment?size=160', accept)).rawPayload)
        .raw()
        .toBuffer();
    expect((await pixelsOf('image/webp')).equals(await pixelsOf('image/png'))).toBe(true);
    const { rawPayload } = await post('segment?width=100&render=overlay', 'image/avif');
    expect(await sharp(rawPayload).metadata()).toMatchObject({ width: 100, format: 'heif' });
  });

  it('leaves positions below the least probability unlabelled', async () => {
    const { labels, probabilities } = await bestByHeatmap('&size=160');
    const threshold = [...probabilities].sort((a, b) => a - b)[Math.floor(probabilities.length / 2)]!;
    const found = await labelsOf(`?size=160&minProbability=${threshold.toFixed(6)}`);
    found.forEach((label, cell) => {
      const distance = probabilities[cell]! - threshold;
      if (Math.abs(distance) > 1e-5) expect(label).toBe(distance < 0 ? UNLABELLED : labels[cell]);
    });
    const { unlabelled } = await segmentsOf(`?size=160&minProbability=${threshold.toFixed(6)}`);
    expect(unlabelled).toBeCloseTo(found.filter((label) => label === UNLABELLED).length / found.length, 6);
  });

  it('gives a legend: shares that sum to one, boxes inside the photo, distinct colours', async () => {
    const { classes, width, height, unlabelled } = await segmentsOf('?size=160');
    expect(unlabelled).toBe(0);
    expect(classes.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);
    expect(new Set(classes.map(({ color }) => color)).size).toBe(classes.length);
    for (const { boxes } of classes) {
      for (const box of boxes) {
        expect(box.x >= 0 && box.y >= 0 && box.x + box.width <= width && box.y + box.height <= height).toBe(true);
      }
    }
  });

  it.each(['size=160', 'size=160&fit=crop', 'size=64&fit=stretch'])(
    'has boxes that reach as far as the polygons, at the border of the map too: %s',
    async (query) => {
      const { classes } = await segmentsOf(`?${query}&shapes=polygons`);
      for (const { boxes, polygons } of classes) {
        const corners = polygons!.flat(2) as [number, number][];
        const [xs, ys] = [corners.map(([x]) => x), corners.map(([, y]) => y)];
        expect([
          Math.min(...boxes.map(({ x }) => x)),
          Math.min(...boxes.map(({ y }) => y)),
          Math.max(...boxes.map(({ x, width }) => x + width)),
          Math.max(...boxes.map(({ y, height }) => y + height)),
        ]).toEqual([
          Math.floor(Math.min(...xs)),
          Math.floor(Math.min(...ys)),
          Math.ceil(Math.max(...xs)),
          Math.ceil(Math.max(...ys)),
        ]);
      }
    },
  );

  it('is drawn at the photo’s size in the legend’s colours, or over the photo', async () => {
    const { classes } = await segmentsOf('?size=160');
    const colors = new Set(classes.map(({ color }) => parseInt(color.slice(1), 16)));
    const picture = await post('segment?size=160', '*/*');
    expect(picture.headers['content-type']).toBe('image/png');
    const { data, info } = await sharp(picture.rawPayload).raw().toBuffer({ resolveWithObject: true });
    expect(info).toMatchObject({ width: 451, height: 300, channels: 3 });
    for (let at = 0; at < data.length; at += 3 * 997) {
      expect(colors).toContain((data[at]! << 16) | (data[at + 1]! << 8) | data[at + 2]!);
    }
    const overlay = await post('segment?size=160&render=overlay&alpha=0', 'image/png');
    const [blended, photo] = await Promise.all(
      [overlay.rawPayload, cat].map((bytes) => sharp(bytes).removeAlpha().raw().toBuffer()),
    );
    expect(blended!.equals(photo!)).toBe(true);
  });

  it('names the classes in a header, and how many there are', async () => {
    const { classes } = await segmentsOf('?size=160');
    const { headers } = await post('segment?size=160', 'image/png');
    expect(headers['fullconv-classes']).toBe(classes.map(({ index }) => `${index};id="id-${index}"`).join(', '));
    expect(headers['fullconv-class-count']).toBe(String(classes.length));
  });

  it('refuses what it does not know', async () => {
    expect((await post('segment?class=1', 'image/png')).json()).toMatchObject({ code: 'INVALID_REQUEST' });
    expect((await post('segment', 'text/html')).json()).toMatchObject({ code: 'NOT_ACCEPTABLE' });
    expect((await post('segment?minProbability=2', 'image/png')).json()).toMatchObject({ code: 'INVALID_REQUEST' });
  });
});

it('no two classes have the same colour, and none that of the unlabelled', () => {
  const colors = Array.from({ length: 21_842 }, (_, index) => labelColor(index));
  expect(new Set(colors).size).toBe(colors.length);
  expect(colors).not.toContain(0);
  // Pascal VOC's own: aeroplane is (128, 0, 0), bicycle (0, 128, 0), person (192, 128, 128).
  expect([labelColor(0), labelColor(1), labelColor(14)]).toEqual([0x800000, 0x008000, 0xc08080]);
});
