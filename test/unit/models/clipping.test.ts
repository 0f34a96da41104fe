import { describe, expect, it } from 'vitest';
import { activationScale, quantizeLayer } from '../../../src/graph/quantization.js';
import { generatedUniform } from '../../../src/models/networks/generated-weights.js';
import { clipRange } from '../../../src/models/quantize/clipping.js';
import { Histogram } from '../../../src/models/quantize/histogram.js';

const histogramOf = (values: ArrayLike<number>): Histogram => {
  const histogram = new Histogram();
  histogram.add(Float32Array.from(values));
  return histogram;
};
const uniform = generatedUniform('values', 100_000);

describe('the range of a value', () => {
  it('is all of it where nothing is clipped, and has 0 in it', () => {
    expect(clipRange(histogramOf([2, 3, 5]), 'none')).toEqual({ low: 0, high: 5 });
    expect(clipRange(histogramOf([-1, 4]), 'none')).toEqual({ low: -1, high: 4 });
  });

  it('leaves a lonely extreme out by percentile, and is moved in by least error', () => {
    const histogram = histogramOf([...uniform, 40]);
    expect(clipRange(histogram, 'percentile').high).toBeCloseTo(1, 1);
    expect(clipRange(histogram, 'error').high).toBeLessThan(38);
  });

  it('is nearly all of evenly spread numbers by least error', () => {
    const { low, high } = clipRange(histogramOf(uniform), 'error');
    expect(low).toBeLessThan(-0.95);
    expect(high).toBeGreaterThan(0.95);
  });
});

describe('a histogram', () => {
  it('does not depend on the order of the tensors, however wide they are', () => {
    const [small, large] = [Float32Array.of(0.01, -0.02), Float32Array.of(500, -3)];
    const [one, other] = [new Histogram(), new Histogram()];
    for (const values of [small, large]) one.add(values);
    for (const values of [large, small]) other.add(values);
    expect(one.counts).toEqual(other.counts);
    expect([one.least, one.most]).toEqual([-3, 500]);
  });

  it('refuses what is no number', () => {
    expect(() => histogramOf([NaN])).toThrow(/not a number/);
    expect(() => histogramOf([Infinity])).toThrow(/not finite/);
  });
});

describe('8-bit integers', () => {
  it('have 0 as an integer of their own', () => {
    for (const range of [
      { low: -1, high: 3 },
      { low: 0, high: 7 },
      { low: -5, high: 0 },
    ]) {
      const { scale, zeroPoint } = activationScale(range);
      expect(Number.isInteger(zeroPoint)).toBe(true);
      expect(scale * (255 - zeroPoint)).toBeCloseTo(range.high, 1);
      expect(-scale * zeroPoint).toBeCloseTo(range.low, 1);
    }
  });

  it('are off by half a step of each channel at most', () => {
    const weight = Float32Array.from(generatedUniform('weight', 60), (value, index) => value * (index < 20 ? 0.01 : 3));
    const layer = quantizeLayer({ weight, channels: 3, bias: Float32Array.of(0.5, -0.25, 0) }, 0.02);
    layer.weight.forEach((integer, index) => {
      const scale = layer.weightScales[Math.floor(index / 20)]!;
      expect(Math.abs(integer * scale - weight[index]!)).toBeLessThanOrEqual(0.51 * scale);
    });
    expect(layer.bias![0]! * layer.biasScales[0]!).toBeCloseTo(0.5, 4);
  });
});
