/**
 * Numbers as 8-bit integers: number = scale · (integer − zero point), rounded and clipped to the range of the integers.
 * Activations are uint8 with a zero point, so that a range that begins at 0, as behind a ReLU, uses all of it; weights
 * are int8 around 0 with a scale for each output channel, so that a product needs no correction. Source: Jacob 2018
 * (integer-arithmetic-only inference), Krishnamoorthi 2018 §3.1.
 */

/** The numbers that a value may have; numbers outside are clipped. */
export interface ValueRange {
  readonly low: number;
  readonly high: number;
}

/** How uint8 stands for the numbers of a value. */
export interface ActivationScale {
  /** Positive, exact in single precision. */
  readonly scale: number;
  /** 0 to 255: the integer that stands for 0. Padding must have this value. */
  readonly zeroPoint: number;
}

const UINT8_STEPS = 255;
const INT8_MAX = 127;
const INT32_MAX = 2 ** 31 - 1;

/** A bias uses at most 1 / BIAS_HEADROOM of int32: the sums that it is added to need the rest. */
const BIAS_HEADROOM = 4;

/** The scale whose integers span a range. The range is extended to hold 0. A range without extent has scale 1. */
export function activationScale({ low, high }: ValueRange): ActivationScale {
  const [least, most] = [Math.min(0, low), Math.max(0, high)];
  const scale = Math.fround((most - least) / UINT8_STEPS);
  if (!(scale > 0)) return { scale: 1, zeroPoint: 0 };
  return { scale, zeroPoint: Math.min(UINT8_STEPS, Math.round(-least / scale)) };
}

export interface QuantizedLayer {
  readonly weight: Int8Array<ArrayBuffer>;
  /** One for each output channel. */
  readonly weightScales: Float32Array<ArrayBuffer>;
  readonly bias?: Int32Array<ArrayBuffer>;
  /** Weight scale times input scale: the scale of the sums of products. */
  readonly biasScales: Float32Array<ArrayBuffer>;
}

export interface FloatLayer {
  /** Row-major, the output channel first. */
  readonly weight: Float32Array;
  readonly channels: number;
  readonly bias?: Float32Array | undefined;
}

/** A convolution or matrix product in integers, for an input of this scale. */
export function quantizeLayer({ weight, channels, bias }: FloatLayer, inputScale: number): QuantizedLayer {
  const length = weight.length / channels;
  const integers = new Int8Array(weight.length);
  const weightScales = new Float32Array(channels);
  for (let channel = 0; channel < channels; channel += 1) {
    const kernel = weight.subarray(channel * length, (channel + 1) * length);
    // A channel whose weights are almost 0 must still hold its bias.
    const leastForBias = (Math.abs(bias?.[channel] ?? 0) * BIAS_HEADROOM) / (INT32_MAX * inputScale);
    const scale = Math.fround(Math.max(largest(kernel) / INT8_MAX, leastForBias)) || 1;
    weightScales[channel] = scale;
    for (let index = 0; index < length; index += 1) {
      integers[channel * length + index] = Math.max(-INT8_MAX, Math.min(INT8_MAX, Math.round(kernel[index]! / scale)));
    }
  }
  const biasScales = weightScales.map((scale) => scale * inputScale);
  return {
    weight: integers,
    weightScales,
    ...(bias && { bias: Int32Array.from(bias, (value, channel) => Math.round(value / biasScales[channel]!)) }),
    biasScales,
  };
}

function largest(values: Float32Array): number {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
}
