/**
 * The net that devices are tried with: five convolutions. They are large enough that their time shows the speed of a
 * device, not the overhead of a call, and small enough that one core of a CPU runs them in a tenth of a second. Weights
 * and input are made from a seed, so that all devices can be compared.
 *
 * image float32 `[8, 3, 112, 112]` → features float32 `[8, 64]`; 3.7 GMAC (10⁹ multiply-adds). Pure.
 */
import { int, ints } from '../graph/attributes.js';
import { graphBuilder } from '../graph/build.js';
import { writeOnnx } from '../graph/onnx/model.js';
import type { TensorMap } from '../tensor.js';

export const PROBE_OUTPUT = 'features';

const IMAGES = [8, 3, 112, 112];
const CHANNELS = 64;
const LAYERS = 4;

/** The serialized net. */
export function probeModel(): Uint8Array {
  const random = randomNumbers(1);
  const builder = graphBuilder({ name: 'probe' });
  const conv = (x: string, channels: number, stride: number): string => {
    const count = CHANNELS * channels * 9;
    // He 2015: a ReLU halves the variance, so that values keep their size from layer to layer.
    const deviation = Math.sqrt(2 / (channels * 9));
    const values = Array.from({ length: count }, () => deviation * Math.sqrt(12) * (random() - 0.5));
    const weight = builder.constant('weight', 'float32', [CHANNELS, channels, 3, 3], values);
    const attributes = { kernel_shape: ints(3, 3), strides: ints(stride, stride), pads: ints(1, 1, 1, 1) };
    return builder.node('Relu', [builder.node('Conv', [x, weight], { attributes })]);
  };
  let x = conv(builder.input('image', 'float32', IMAGES), 3, 2);
  for (let layer = 0; layer < LAYERS; layer += 1) x = conv(x, CHANNELS, 1);
  const pooled = builder.node('GlobalAveragePool', [x]);
  builder.node('Flatten', [pooled], { output: PROBE_OUTPUT, attributes: { axis: int(1) } });
  return writeOnnx(builder.finish([{ name: PROBE_OUTPUT, dataType: 'float32', dims: [IMAGES[0]!, CHANNELS] }]));
}

/** The net's input, made anew on each call because a run may take the buffer. */
export function probeFeeds(): TensorMap {
  const random = randomNumbers(2);
  const length = IMAGES.reduce((product, side) => product * side, 1);
  return { image: { type: 'float32', dims: IMAGES, data: Float32Array.from({ length }, () => random() - 0.5) } };
}

/** Numbers in [0, 1) by a linear congruential generator (Numerical Recipes). */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}
