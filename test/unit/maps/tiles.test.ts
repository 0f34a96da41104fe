import { describe, expect, it } from 'vitest';
import { finish, STEP_CELLS } from '../../../src/maps/steps.js';
import { joinTiles, planTiles, type TileGeometry, type Tiling } from '../../../src/maps/tiles.js';
import type { TensorMap } from '../../../src/tensor.js';

/** A trunk with padding that sees `receptiveField` pixels, a cell every 16. */
function geometry(receptiveField: number): TileGeometry {
  const mapSize = ({ width, height }: { width: number; height: number }) => ({
    width: Math.ceil(width / 16),
    height: Math.ceil(height / 16),
  });
  return { outputStride: 16, offset: 8, receptiveField, alignment: 32, mapSize };
}

describe('planTiles', () => {
  it.each([
    { width: 1000, height: 900 },
    { width: 5003, height: 333 },
    { width: 64, height: 9001 },
    { width: 700, height: 700 },
  ])('covers every cell of $width×$height by tiles within the limit', (input) => {
    const { map, tiles } = planTiles(input, geometry(101), 90_000)!;
    const seen = new Uint8Array(map.width * map.height);
    for (const { pixels, x, y } of tiles) {
      expect(pixels.width * pixels.height).toBeLessThanOrEqual(90_000);
      expect([pixels.left % 32, pixels.top % 32]).toEqual([0, 0]);
      expect([(input.width - pixels.width) % 32, (input.height - pixels.height) % 32]).toEqual([0, 0]);
      expect(pixels.left + pixels.width).toBeLessThanOrEqual(input.width);
      expect(pixels.top + pixels.height).toBeLessThanOrEqual(input.height);
      for (let row = y.from + y.shift; row < y.end + y.shift; row++) {
        for (let column = x.from + x.shift; column < x.end + x.shift; column++) {
          seen[row * map.width + column] = 1;
          for (const [cell, start, length, whole] of [
            [column, pixels.left, pixels.width, input.width],
            [row, pixels.top, pixels.height, input.height],
          ] as const) {
            const centre = 8 + 16 * cell;
            expect(centre - 50.5 >= start || start === 0).toBe(true);
            expect(centre + 50.5 <= start + length || start + length === whole).toBe(true);
          }
        }
      }
    }
    expect(seen.every((value) => value === 1)).toBe(true);
  });

  it('gives up where the receptive field leaves less than a quarter of a tile', () => {
    expect(planTiles({ width: 1000, height: 900 }, geometry(250), 90_000)).toBeUndefined();
    expect(planTiles({ width: 1000, height: 900 }, geometry(2000), 90_000)).toBeUndefined();
  });
});

describe('joinTiles', () => {
  /** Counts the values that are taken out of it. */
  class Counted extends Float32Array {
    static taken = 0;

    override subarray(from: number, end: number): Float32Array<ArrayBuffer> {
      Counted.taken += end - from;
      return super.subarray(from, end);
    }
  }

  const planes = 3;
  const { map, tiles }: Tiling = planTiles({ width: 3000, height: 900 }, geometry(101), 90_000)!;
  const valueAt = (plane: number, row: number, column: number): number =>
    (plane * map.height + row) * map.width + column;

  /** The outputs of a tile: cells that are not kept are −1. */
  function outputsOf({ pixels, x, y }: Tiling['tiles'][number], agreed: bigint): TensorMap {
    const { width, height } = geometry(101).mapSize(pixels);
    const values = Array.from({ length: planes * height * width }, (_, index) => {
      const [column, row] = [index % width, Math.floor(index / width) % height];
      const isKept = column >= x.from && column < x.end && row >= y.from && row < y.end;
      return isKept ? valueAt(Math.floor(index / width / height), row + y.shift, column + x.shift) : -1;
    });
    return {
      logits: { type: 'float32', dims: [2], data: Float32Array.of(pixels.left, 1) },
      classes_selected: { type: 'int64', dims: [2], data: BigInt64Array.of(7n, agreed) },
      class_logits: { type: 'float32', dims: [planes, height, width], data: new Counted(values) },
      best_class: { type: 'int32', dims: [height, width], data: Int32Array.from(values.slice(0, height * width)) },
    };
  }

  const outputs = tiles.map((tile, index) => outputsOf(tile, BigInt(Math.min(index, 1))));

  it('gives the outputs of one run over the whole, in steps of a few thousand cells', () => {
    const steps = joinTiles({ map, tiles }, outputs);
    let most = 0;
    let ended = steps.next();
    for (; !ended.done; ended = steps.next()) {
      most = Math.max(most, Counted.taken);
      Counted.taken = 0;
    }
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(STEP_CELLS + map.width);
    const { class_logits: logits, best_class: best, classes_selected: selected } = ended.value;
    expect(logits!.dims).toEqual([planes, map.height, map.width]);
    expect(logits!.data).toEqual(Float32Array.from({ length: planes * map.height * map.width }, (_, index) => index));
    expect(best).toEqual({
      type: 'int32',
      dims: [map.height, map.width],
      data: Int32Array.from({ length: map.height * map.width }, (_, index) => index),
    });
    // The tiles did not agree on the second.
    expect(selected!.data).toEqual(BigInt64Array.of(7n, -1n));
  });

  it('gives the mean of the logits', () => {
    const { logits } = finish(joinTiles({ map, tiles }, outputs));
    const mean = tiles.reduce((sum, { pixels }) => sum + pixels.left, 0) / tiles.length;
    expect(logits!.data).toEqual(Float32Array.of(mean, 1));
  });
});
