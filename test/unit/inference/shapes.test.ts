import { describe, expect, it } from 'vitest';
import { MAX_CORNERS, MAX_RUNS, shapesOf } from '../../../src/inference/shapes.js';
import type { RequestContext } from '../../../src/inference/request-context.js';
import type { Segmentation } from '../../../src/inference/segment.js';
import { NOBODY_LEAVES } from '../../support/fake-dense-net.js';
import { noiseLabels } from '../../support/noise-map.js';

const segmentation = (side: number): Segmentation => noiseLabels(side, side, 4) as unknown as Segmentation;

describe('shapesOf', () => {
  it('gives each image the shapes that are wanted', async () => {
    const images = [segmentation(20), segmentation(30)];
    const shapes = await shapesOf(images, ['polygons', 'rle'], NOBODY_LEAVES);
    expect([...shapes.keys()]).toEqual(images);
    expect([...shapes.values()].map(({ runLengths }) => runLengths!.size)).toEqual([
      [20, 20],
      [30, 30],
    ]);
    expect((await shapesOf(images, [], NOBODY_LEAVES)).get(images[0]!)).toEqual({
      outlines: undefined,
      runLengths: undefined,
    });
  });

  it.each([
    ['polygons', `more than ${MAX_CORNERS} corners`, 500, { name: 'polygon_corners', value: MAX_CORNERS }],
    ['rle', `more than ${MAX_RUNS} runs`, 1700, { name: 'rle_runs', value: MAX_RUNS }],
  ] as const)('refuses %s of images that have too many together, not each', async (shape, message, side, limit) => {
    const images = [segmentation(side), segmentation(side)];
    await expect(shapesOf(images.slice(1), [shape], NOBODY_LEAVES)).resolves.toBeDefined();
    await expect(shapesOf(images, [shape], NOBODY_LEAVES)).rejects.toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      message: expect.stringContaining(message) as string,
      errors: [{ parameter: 'shapes' }],
      limit: { ...limit, needed: limit.value + 1 },
    });
  });

  it('ends when nobody waits any more', async () => {
    const client = new AbortController();
    const context: RequestContext = { ...NOBODY_LEAVES, signal: client.signal };
    const shaping = shapesOf([segmentation(600)], ['polygons'], context);
    client.abort(new Error('the client has gone'));
    await expect(shaping).rejects.toThrow('the client has gone');
    const late = { ...NOBODY_LEAVES, deadline: performance.now() };
    await expect(shapesOf([segmentation(600)], ['polygons'], late)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
  });
});
