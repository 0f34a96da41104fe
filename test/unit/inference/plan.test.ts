import { describe, expect, it } from 'vitest';
import type { Batcher } from '../../../src/batching/batcher.js';
import { createInference } from '../../../src/inference/infer.js';
import type { PassRequest } from '../../../src/inference/variants.js';
import type { CompiledModel } from '../../../src/models/compile.js';
import type { DenseView } from '../../../src/models/dense-views.js';

/** A net whose map has one cell for `stride` pixels, at no cost that grows with them. */
function requestFor(classes: number, asked: number, { stride = 1, tiles = false } = {}): PassRequest {
  const cells = (size: number): number => Math.floor(size / stride);
  const view: Partial<DenseView> = {
    pixelCost: 1,
    geometry: { outputStride: stride, offset: stride / 2, receptiveField: stride },
    tiling: { outputStride: stride, offset: stride / 2, receptiveField: stride, alignment: stride },
    mapSize: ({ width, height }) => ({ width: cells(width), height: cells(height) }),
    check: () => undefined,
  };
  const model = { manifest: { input: { size: 64, resize: 64 } }, labels: Array<unknown>(classes) };
  return {
    model: model as unknown as CompiledModel,
    viewFor: () => view as DenseView,
    input: { fit: 'native', scales: [1], flip: false, tiles },
    classes: Array<number>(asked).fill(0),
  };
}

const inference = createInference({
  batcher: {} as Batcher,
  lease: () => ({ opened: Promise.resolve(''), release: () => undefined }),
  limits: { maxPixels: 5e7, maxInputPixels: 2240 * 2240, decoders: 1, renderers: 1, maxQueue: 1 },
  background: { r: 0, g: 0, b: 0 },
  observe: () => undefined,
});
const variants = (request: PassRequest, side: number): number =>
  inference.variants({ format: 'png', width: side, height: side } as Parameters<typeof inference.variants>[0], request)
    .length;

describe('the limit of a class map', () => {
  it('is one of cells and classes together, whatever the pixels cost', () => {
    expect(variants(requestFor(1000, 1, { stride: 16 }), 2240)).toBe(1);
    expect(variants(requestFor(10, 1), 2240)).toBe(1);
    expect(() => variants(requestFor(1000, 1), 2240)).toThrow(
      expect.objectContaining({
        code: 'IMAGE_TOO_LARGE',
        message: expect.stringMatching(
          /^The class map would be 2240×2240 cells of 1000 classes; the limit is 67108864/,
        ) as string,
        errors: [{ parameter: 'outputStride', detail: 'gives 5017600000 values' }],
      }) as Error,
    );
  });

  it('counts the classes asked for where these are more, and alone where tiles are put together', () => {
    expect(() => variants(requestFor(2, 14), 2240)).toThrow(/2240×2240 cells of 14 classes/);
    expect(variants(requestFor(1000, 1, { stride: 4, tiles: true }), 4480)).toBe(1);
    expect(() => variants(requestFor(1000, 60, { stride: 4, tiles: true }), 4480)).toThrow(/1120×1120 cells of 60/);
  });
});
