import { describe, expect, it } from 'vitest';
import type { ImageHeader } from '../../../src/images/image-header.js';
import { createMapAccount, type MapCost } from '../../../src/inference/map-account.js';
import { planImage, type ImagePlan, type InputOptions, type PassRequest } from '../../../src/inference/plan.js';
import type { CompiledModel } from '../../../src/models/compile.js';
import type { DenseView } from '../../../src/models/dense-views.js';

/** A net whose map has one cell for `stride` pixels, at no cost that grows with them. */
function requestFor(classes: number, asked: number, { stride = 1, tiles = false } = {}): PassRequest {
  const cells = (size: number): number => Math.floor(size / stride);
  const view: Partial<DenseView> = {
    pixelCost: 1,
    peakBytes: () => 0,
    geometry: { kind: 'windows', outputStride: stride, offset: stride / 2, receptiveField: stride },
    tiling: { outputStride: stride, offset: stride / 2, receptiveField: stride, alignment: stride },
    mapSize: ({ width, height }) => ({ width: cells(width), height: cells(height) }),
    check: () => undefined,
    multiplyAdds: ({ width, height }) => width * height,
    session: { id: 'dense', model: new Uint8Array() },
  };
  const model = {
    manifest: { input: { size: 64, resize: 64 } },
    labels: Array<unknown>(classes),
    dense: { unavailable: 'a fake' },
  };
  return {
    model: model as unknown as CompiledModel,
    viewFor: () => view as DenseView,
    input: { fit: 'native', scales: [1], flip: false, tiles },
    classes: Array<number>(asked).fill(0),
  };
}

const LIMITS = { maxPixels: 5e7, maxInputPixels: 2240 * 2240 };
const plan = (request: PassRequest, side: number): ImagePlan => planImage(headerOf(side), request, LIMITS);

/** Of a plain PNG. */
function headerOf(side: number): ImageHeader {
  const size = { width: side, height: side };
  return {
    format: 'png',
    ...size,
    stored: size,
    orientation: 1,
    deep: false,
    channels: 3,
    bytesPerSample: 1,
    progressive: false,
    scans: 1,
    frames: 1,
    tiles: 1,
    codedSamples: 3 * side * side,
    heldBytes: 0,
    lossless: true,
    compressed: true,
    tiled: false,
    frame: undefined,
    hasSurplus: false,
    limitedRange: false,
    colours: 'plain',
    metadataBytes: 0,
    encodedBytes: 0,
  };
}

const passes = (request: PassRequest, side: number): number => plan(request, side).passes.length;

describe('a plan', () => {
  const twice = (input: Partial<InputOptions>, classes = 1000): PassRequest => {
    const request = requestFor(classes, 1, { stride: 16 });
    return { ...request, input: { ...request.input, ...input }, everyClass: true };
  };

  it('has every scale, each as it is and then mirrored, on one input', () => {
    const planned = plan(twice({ scales: [1, 0.5], flip: true }), 320).passes;
    expect(planned.map(({ input, mirrored }) => [input.crop.width, mirrored])).toEqual([
      [320, false],
      [320, true],
      [160, false],
      [160, true],
    ]);
    expect(planned[1]!.input).toBe(planned[0]!.input);
  });

  it('is plain data', () => {
    const planned = plan(twice({ flip: true }), 320);
    expect(structuredClone(planned)).toEqual(planned);
  });

  it('says what a run costs: of a tile, where there are tiles', () => {
    expect(plan(twice({}), 320).passes[0]!.cost).toBe(320 * 320);
    const [pass] = plan(requestFor(10, 1, { stride: 4, tiles: true }), 4480).passes;
    const [tile] = pass!.tiling!.tiles;
    expect(pass!.cost).toBe(tile!.pixels.width * tile!.pixels.height);
  });

  it('asks several passes for every class, while that is at most 2²² values for the image', () => {
    expect(plan(twice({}), 640).classes).toEqual([0]);
    expect(plan(twice({ flip: true }), 640).classes).toHaveLength(1000);
    // 128×128 cells, twice.
    expect(plan(twice({ flip: true }, 128), 2048).classes).toHaveLength(128);
    expect(plan(twice({ flip: true }, 129), 2048).classes).toEqual([0]);
  });
});

describe('the limit of a class map', () => {
  it('is one of cells and classes together, whatever the pixels cost', () => {
    expect(passes(requestFor(1000, 1, { stride: 16 }), 2240)).toBe(1);
    expect(passes(requestFor(10, 1), 2240)).toBe(1);
    expect(() => passes(requestFor(1000, 1), 2240)).toThrow(
      expect.objectContaining({
        code: 'IMAGE_TOO_LARGE',
        message: expect.stringMatching(
          /^The class map would be 2240×2240 cells of 1000 classes; the limit is 67108864/,
        ) as string,
        errors: [{ parameter: 'outputStride', detail: 'gives 5017600000 values' }],
        limit: { name: 'run_values', value: 2 ** 26, needed: 5_017_600_000 },
      }) as Error,
    );
  });

  it('counts the classes asked for where these are more, and alone where tiles are put together', () => {
    expect(() => passes(requestFor(2, 14), 2240)).toThrow(/2240×2240 cells of 14 classes/);
    expect(passes(requestFor(1000, 1, { stride: 4, tiles: true }), 4480)).toBe(1);
    expect(() => passes(requestFor(1000, 60, { stride: 4, tiles: true }), 4480)).toThrow(/1120×1120 cells of 60/);
  });
});

describe('the account of a request', () => {
  const costOf = (request: PassRequest, side: number): MapCost => {
    const costs: MapCost[] = [];
    plan({ ...request, account: { isExceeded: false, add: (cost) => void costs.push(cost) } }, side);
    return costs[0]!;
  };
  const maps = { answered: 32, made: 32, again: 32 };

  it('has the values of the finest map, for each class that is asked for', () => {
    const request = { ...requestFor(1000, 32, { stride: 4 }), maps };
    expect(costOf(request, 240).values).toBe(60 * 60 * 32);
    const scaled = { ...request, input: { ...request.input, scales: [0.5, 1], flip: true } };
    expect(costOf(scaled, 240).values).toBe(60 * 60 * 32);
    expect(costOf(requestFor(1000, 32), 200).values).toBe(0);
  });

  it('has the bytes of what the passes bring, twice where they may be run again, and of what is made of it', () => {
    const one = { ...requestFor(1000, 32, { stride: 4 }), maps };
    const perCell = 12 + 4 * 32;
    expect(costOf(one, 240).bytes).toBe(60 * 60 * (perCell + 4 * 32));
    const twice = { ...one, input: { ...one.input, flip: true } };
    expect(costOf(twice, 240).bytes).toBe(60 * 60 * (2 * 2 * perCell + 4 * 32));
    expect(costOf({ ...twice, maps: { ...maps, again: 0 } }, 240).bytes).toBe(60 * 60 * (2 * perCell + 4 * 32));
    // Passes that bring every class lack none.
    const every = { ...requestFor(10, 1, { stride: 4 }), maps, everyClass: true };
    const both = { ...every, input: { ...every.input, flip: true } };
    expect(costOf(both, 240).bytes).toBe(60 * 60 * (2 * (12 + 4 * 10) + 4 * 32));
  });

  it('refuses a plan', () => {
    const account = createMapAccount(1, { values: 60 * 60 * 32 - 1 });
    const request = { ...requestFor(1000, 32, { stride: 4 }), maps, account };
    expect(() => plan(request, 240)).toThrow(/would have 115200 map values .* the limit is 115199/);
  });
});
