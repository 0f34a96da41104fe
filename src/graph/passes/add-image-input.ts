/**
 * Let the graph take decoded pixels and do the preprocessing itself: a quarter of the bytes to move.
 *
 *   Before: input float32 [N, 3, H, W], normalized
 *   After:  image uint8 [N, H, W, 3] RGB → Transpose → Cast → (channels reversed for BGR) → Sub → Mul → input
 *   For an input [N, 1, H, W] the three channels become their luma behind the Cast.
 *
 * Precondition: the only input is float32 [N, 3, H, W] or [N, 1, H, W]. In front of a quantized net Sub and Mul are one
 * BatchNormalization.
 *
 * Equal because (p / range − mean) / std = (p − mean·range) · 1 / (range·std). The mean stays a Sub ahead of the
 * padding of the first convolution: moved into its bias, it would be wrong at the borders, where the padding is zero. The luma is
 * that of 8-bit grey pictures, to the number: (19595 R + 38470 G + 7471 B + 32768) / 65536, rounded down, which single precision
 * computes exactly. Source: ITU-R BT.601; Pillow, convert('L').
 */
import { float, int, ints } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Graph } from '../graph.js';
import { DATA_TYPE_CODES } from '../onnx/data-types.js';
import type { Pass } from '../pass.js';

/** Name of the input: uint8 [N, H, W, 3], RGB. */
export const IMAGE_INPUT = 'image';

export interface ImagePreprocessing {
  /** The order in which the network wants the channels; pixels come as RGB. GRAY: one channel. */
  readonly channels: 'RGB' | 'BGR' | 'GRAY';
  /** Pixels are divided by it: 255, or 1 for nets trained on 0 to 255. */
  readonly range: number;
  /** In the order of `channels`. One number holds for all. */
  readonly mean: readonly number[];
  /** In the order of `channels`. One number holds for all. */
  readonly std: readonly number[];
}

/** The pass. */
export function addImageInput(preprocessing: ImagePreprocessing): Pass {
  return { name: 'add-image-input', apply: (graph) => addInput(graph, preprocessing) };
}

function addInput(graph: Graph, { channels, range, mean, std }: ImagePreprocessing): Graph | undefined {
  const index = graph.inputs.findIndex(
    ({ dataType, dims }) => dataType === 'float32' && dims.length === 4 && (dims[1] === 3 || dims[1] === 1),
  );
  const input = graph.inputs[index];
  if (input === undefined) return undefined;

  const [batch, count, height, width] = input.dims as [string, number, string, string];
  const builder = graphBuilder({ ...graph, inputs: [] });
  builder.input(IMAGE_INPUT, 'uint8', [batch, height, width, 3]);
  const planar = { name: 'image.planar', attributes: { perm: ints(0, 3, 1, 2) } };
  let x = builder.node('Transpose', [IMAGE_INPUT], planar);
  x = builder.node('Cast', [x], { name: 'image.float', attributes: { to: int(DATA_TYPE_CODES.float32) } });
  if (count === 1) {
    x = addLuma(builder, x, graph.opset);
  } else if (channels === 'BGR') {
    const reversed = builder.constant('image.bgr', 'int64', [3], [2, 1, 0]);
    x = builder.node('Gather', [x, reversed], { name: 'image.reversed', attributes: { axis: int(1) } });
  }
  const isQuantized = graph.nodes.some(({ op }) => op === 'QuantizeLinear');
  const shape = isQuantized ? [count] : [1, count, 1, 1];
  const constant = (name: string, values: readonly number[]): string => {
    const each = Array.from({ length: count }, (_, channel) => values[channel] ?? values[0]!);
    return builder.constant(`image.${name}`, 'float32', shape, each);
  };
  const offset = constant(
    'mean',
    mean.map((value) => value * range),
  );
  const scale = constant(
    'scale',
    std.map((value) => 1 / (range * value)),
  );
  const normalized = { name: 'image.normalized', output: input.name };
  if (isQuantized) {
    // onnxruntime would move the Transpose behind Sub and Mul, where its quantized kernels want it. Both would then be
    // twenty times slower, which costs 7 % of a ResNet-50.
    const parameters = [scale, constant('zero', [0]), offset, constant('one', [1])];
    builder.node('BatchNormalization', [x, ...parameters], { ...normalized, attributes: { epsilon: float(0) } });
  } else {
    x = builder.node('Sub', [x, offset], { name: 'image.centred' });
    builder.node('Mul', [x, scale], normalized);
  }

  const built = builder.finish(graph.outputs);
  const preamble = built.nodes.slice(graph.nodes.length);
  return { ...built, inputs: graph.inputs.with(index, built.inputs[0]!), nodes: [...preamble, ...graph.nodes] };
}

/** Since then ReduceSum takes its axes as an input. Source: ONNX Operator changelog. */
const AXES_INPUT_OPSET = 13;

/** [N, 3, H, W] RGB → [N, 1, H, W], whole numbers. */
function addLuma(builder: ReturnType<typeof graphBuilder>, rgb: string, opset: number): string {
  const weights = builder.constant('image.luma_weights', 'float32', [1, 3, 1, 1], [19595, 38470, 7471]);
  const half = builder.constant('image.luma_half', 'float32', [], [32768]);
  const scale = builder.constant('image.luma_scale', 'float32', [], [1 / 65536]);
  const weighted = builder.node('Mul', [rgb, weights], { name: 'image.luma_parts' });
  const isInput = opset >= AXES_INPUT_OPSET;
  const axes = isInput ? [builder.constant('image.luma_axes', 'int64', [1], [1])] : [];
  const attributes = { keepdims: int(1), ...(!isInput && { axes: ints(1) }) };
  const sum = builder.node('ReduceSum', [weighted, ...axes], { name: 'image.luma_sum', attributes });
  const shifted = builder.node('Add', [sum, half], { name: 'image.luma_shifted' });
  const scaled = builder.node('Mul', [shifted, scale], { name: 'image.luma_scaled' });
  return builder.node('Floor', [scaled], { name: 'image.luma' });
}
