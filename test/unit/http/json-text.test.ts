/** The text of json-text.ts is that of fastify's generated serializers, for the routes' own schemas. */
import Fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { jsonWriter, lazily } from '../../../src/http/json-text.js';
import type { Route } from '../../../src/http/route.js';
import { classifyRoutes } from '../../../src/http/routes/classify.js';
import { heatmapRoutes } from '../../../src/http/routes/heatmap.js';
import { segmentRoutes } from '../../../src/http/routes/segment.js';
import { serializerOf } from '../../../src/http/schemas.js';

const schemaOf = ({ operation }: Route): z.ZodType =>
  operation!.answers[200]!.content!['application/json'] as z.ZodType;

const textOf = (schema: z.ZodType, value: unknown): string => [...jsonWriter(schema)(value)].join('');

async function fastifysText(schema: z.ZodType, value: unknown): Promise<string> {
  const app = Fastify();
  app.get('/', { schema: { response: { 200: serializerOf(schema) } } }, () => value);
  const { body } = await app.inject('/');
  await app.close();
  return body;
}

/** Numbers whose text is easily another one. */
const NUMBERS = [0, -0, 1e21, 1e-7, 0.1, Math.fround(0.1), 1 / 3, Infinity, -Infinity, 5e-324, 2 ** 53, -17.25];
const BOX = { height: 4, width: 3, y: 2, x: 1, unknown: true };
const LABELS = { label: 'a "quoted" \\ label\n\u2028 \ud800 ü 🐘', id: '__proto__' };
const REST = {
  timing: { batchSize: 3, inferMs: 0.001, queueMs: 12, decodeMs: 1e-9 },
  model: { digest: 'ab', version: '1', name: 'net', engine: 'onnxruntime', precision: 'fp32' },
};
const IMAGE = {
  map: { kind: 'windows', receptiveField: 31, offset: 0.5, outputStride: 16, height: 3, width: 4 },
  input: { scale: 1.5, height: 48, width: 64 },
  height: 300,
  width: 451,
  name: 'photo "1".jpg',
};
const PROBLEM = {
  problem: {
    errors: [{ detail: 'too large', parameter: 'size' }],
    code: 'IMAGE_TOO_LARGE',
    detail: 'no',
    status: 422,
    title: 'x',
    type: 'about:blank',
  },
  name: 'other',
};

/** Rows of a map as float32, which are wider as the doubles that are written. */
const ROWS = Array.from({ length: 3 }, (_, y) => Float32Array.from({ length: 4 }, (__, x) => Math.sin(x + 4 * y) / 3));

const heatmaps = (rows: Iterable<unknown>, list: <T>(items: T[]) => Iterable<T>) => ({
  results: [
    {
      ...IMAGE,
      classes: list(
        NUMBERS.map((number, index) => ({
          values: index === 0 ? rows : list<number[]>([]),
          mean: number,
          regions: list(
            index === 1
              ? []
              : [
                  { share: number, box: BOX },
                  { share: 0.5, box: BOX },
                ],
          ),
          ...(index % 2 === 0 ? { regionsLeftOut: 7 } : {}),
          share: 0.25,
          level: number,
          box: index === 3 ? undefined : BOX,
          peak: { value: number, y: 1, x: 2 },
          normalizedFrom: index === 2 ? { high: number, low: 0 } : undefined,
          ...LABELS,
          ...(index === 4 ? {} : { index }),
        })),
      ),
    },
    PROBLEM,
  ],
  threshold: { of: 'range', value: 0.5 },
  scores: 'probability',
  ...REST,
});

const segmentation = (counts: unknown, list: <T>(items: T[]) => Iterable<T>) => ({
  ...REST,
  results: [
    {
      ...IMAGE,
      unlabelled: 0.125,
      classes: list([
        {
          rle: { counts, size: [300, 451] },
          polygons: list([
            list([
              list([
                [0, 1.25],
                [2.5, 3],
                [0, 1.25],
              ]),
              list([[7, 8]]),
            ]),
            list<number[][]>([]),
          ]),
          boxesLeftOut: 12,
          boxes: list([BOX, BOX]),
          share: 0.1,
          color: '#800000',
          ...LABELS,
          index: 0,
        },
        { boxes: list<object>([]), share: 1, color: '#008000', ...LABELS, index: 1 },
      ]),
    },
    PROBLEM,
  ],
});

const predictions = (list: <T>(items: T[]) => Iterable<T>) => ({
  results: [
    {
      ...IMAGE,
      predictions: list(NUMBERS.map((probability, index) => ({ probability, ...LABELS, index }))),
    },
    PROBLEM,
  ],
  ...REST,
});

const asArray = <T>(items: T[]): T[] => items;
const asGenerator = <T>(items: T[]): Iterable<T> => lazily(items, (item) => item);
const COUNTS = '?43\\02M1"0000030';

describe('the text', () => {
  it.each([
    [
      'heatmap',
      heatmapRoutes[0],
      heatmaps(
        ROWS.map((row) => [...row]),
        asArray,
      ),
      heatmaps(ROWS, asGenerator),
    ],
    ['segment', segmentRoutes[0], segmentation(COUNTS, asArray), segmentation(Array.from(COUNTS), asGenerator)],
    ['classify', classifyRoutes[0], predictions(asArray), predictions(asGenerator)],
  ])('of an answer of %s is fastify’s, from arrays and from generators', async (_, route, plain, lazy) => {
    const schema = schemaOf(route);
    const expected = await fastifysText(schema, plain);
    expect(expected).toContain('"name":"other"');
    expect(textOf(schema, plain)).toBe(expected);
    expect(textOf(schema, lazy)).toBe(expected);
  });

  it('leaves in pieces of a few kilobytes, whatever the shape of what is long', () => {
    const numbers = z.object({ values: z.array(z.array(z.number())) });
    const long = new Float32Array(100_000).fill(1 / 3);
    const words = z.object({ text: z.string() });
    const boxes = z.array(z.object({ x: z.number() }));
    for (const [schema, value] of [
      [numbers, { values: [long] }],
      [numbers, { values: Array.from({ length: 50_000 }, (_, i) => long.subarray(i, i + 1)) }],
      [words, { text: Array.from({ length: 1000 }, () => 'word'.repeat(100)) }],
      [boxes, Array.from({ length: 50_000 }, (_, x) => ({ x }))],
    ] as const) {
      const pieces = [...jsonWriter(schema)(value)];
      expect(pieces.length).toBeGreaterThan(5);
      expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(2 ** 17);
      expect(() => JSON.parse(pieces.join('')) as unknown).not.toThrow();
    }
  });

  it('makes no more of a value than has been written', () => {
    let made = 0;
    const items = lazily(
      Array.from({ length: 100_000 }, (_, i) => i),
      (x) => {
        made += 1;
        return { x };
      },
    );
    const writing = jsonWriter(z.array(z.object({ x: z.number() })))(items);
    expect(made).toBe(0);
    writing.next();
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThan(10_000);
  });
});
