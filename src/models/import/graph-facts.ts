/**
 * What the graph of a classifier says of its images: their size, the number of classes, and whether it normalizes pixels
 * itself. Pure.
 */
import { applyWhereMatching } from '../../graph/pass.js';
import { attribute } from '../../graph/attributes.js';
import { floatValues } from '../../graph/constants.js';
import type { Graph, Node } from '../../graph/graph.js';
import { nativeShapes, type NativeSize } from '../../graph/native-shapes.js';
import { liftConstants } from '../../graph/passes/lift-constants.js';
import { reserveNames } from '../../graph/passes/reserve-names.js';
import { takePlanarInput } from '../../graph/passes/take-planar-input.js';
import { elementCount } from '../../tensor.js';
import type { InputPreset } from '../manifest.js';

export interface GraphFacts {
  /** In pixels; undefined if the graph leaves it free. */
  readonly size: InputPreset['size'] | undefined;
  /** It takes one channel. */
  readonly isGrey: boolean;
  /** Numbers of its first output whose size is known; undefined if there is none. */
  readonly classes: number | undefined;
  /** What it takes, if it shows that; undefined if its pixels may be normalized in any way. */
  readonly pixels: Pixels | undefined;
}

/** The values of pixels that a graph takes, and the order of channels if it shows that. */
export type Pixels = Pick<InputPreset, 'range' | 'mean' | 'std'> & Partial<Pick<InputPreset, 'channels'>>;

/** The size for graphs that leave it free: most are trained at it. */
export const USUAL_SIZE = 224;

/** Sizes of at most this are channels. */
const MAX_CHANNELS = 4;

/** The facts of a graph, verified or with unbound weights. Never throws for a graph that is no classifier. */
export function describeGraph(graph: Graph): GraphFacts {
  const planar = applyWhereMatching(graph, [reserveNames(), liftConstants(), takePlanarInput()]);
  const dims = planar.inputs[0]?.dims ?? [];
  const sides = dims.slice(1).filter((dim) => typeof dim === 'number' && dim > MAX_CHANNELS);
  const [height, width = height] = sides.map(Number);
  const size = height === undefined || height === width ? height : ([height, width!] as [number, number]);
  const native = height === undefined ? USUAL_SIZE : { height, width: width! };
  return { size, isGrey: dims[1] === 1, classes: countClasses(planar, native), pixels: pixelsOf(planar) };
}

function countClasses(graph: Graph, size: NativeSize): number | undefined {
  const shapes = graph.outputs.every(({ dims }) => dims.slice(1).every((dim) => typeof dim === 'number'))
    ? undefined
    : nativeShapes(graph, size);
  for (const { name, dims } of graph.outputs) {
    const ofImage = (shapes?.get(name) ?? dims).slice(1);
    if (ofImage.length > 0 && ofImage.every((dim): dim is number => typeof dim === 'number')) {
      return elementCount(ofImage);
    }
  }
  return undefined;
}

const AS_THEY_ARE: Pixels = { range: 1, mean: [0, 0, 0], std: [1, 1, 1] };
const FROM_0_TO_1: Pixels = { range: 255, mean: [0, 0, 0], std: [1, 1, 1] };

/** What the network behind the normalization gets to see is spread over a few units; pixels as they are, over hundreds. */
const MAX_SPREAD = 20;

/** The means of ImageNet's channels in the order blue, green, red, as the nets of Caffe subtract them. */
const CAFFE_MEANS = [103.939, 116.779, 123.68];

function pixelsOf(graph: Graph): Pixels | undefined {
  const [input] = graph.inputs;
  if (input === undefined) return undefined;
  if (input.dataType.includes('int')) return AS_THEY_ARE;
  const { steps, scale, offset } = normalizationOf(graph, input.name);
  if (steps === 0) return undefined;
  // A layer that changes nothing much says nothing: it may follow any normalization.
  if (scale.every((value) => value > 0.7 && value < 1.4) && offset.every((value) => Math.abs(value) < 0.5))
    return undefined;
  const factor = scale.reduce((sum, value) => sum + Math.abs(value), 0) / scale.length;
  if (scale.every((value) => value === 1) && offset.some((value) => Math.abs(value) > 10)) {
    const isCaffe = offset.every((value, channel) => Math.abs(value + CAFFE_MEANS[channel]!) < 2);
    return isCaffe ? { ...AS_THEY_ARE, channels: 'BGR' } : AS_THEY_ARE;
  }
  return 255 * factor <= MAX_SPREAD ? AS_THEY_ARE : FROM_0_TO_1;
}

/** `scale · pixel + offset` for each channel: what is computed from the input before its first layer. */
interface Normalization {
  /** Nodes that compute it; 0 if there is none. */
  readonly steps: number;
  readonly scale: readonly number[];
  readonly offset: readonly number[];
}

function normalizationOf(graph: Graph, input: string): Normalization {
  let [steps, value] = [0, input];
  let [scale, offset] = [
    [1, 1, 1],
    [0, 0, 0],
  ];
  for (;;) {
    const readers = graph.nodes.filter(({ inputs }) => inputs.includes(value));
    const [node] = readers;
    if (node === undefined || readers.length > 1) return { steps, scale, offset };
    if (!['Identity', 'Cast', 'Transpose'].includes(node.op)) {
      const step = stepOf(graph, node, value);
      if (step === undefined) return { steps, scale, offset };
      scale = scale.map((each, channel) => each * step.scale[channel]!);
      offset = offset.map((each, channel) => each * step.scale[channel]! + step.offset[channel]!);
      steps += 1;
    }
    value = node.outputs[0]!;
  }
}

/** What one node does to each channel; undefined if it is no step of a normalization. */
function stepOf(graph: Graph, node: Node, value: string): Pick<Normalization, 'scale' | 'offset'> | undefined {
  if (node.op === 'BatchNormalization') return batchNormalization(graph, node);
  const [a = '', b = ''] = node.inputs;
  const constant = perChannel(graph, a === value ? b : a);
  if (constant === undefined) return undefined;
  const ones = constant.map(() => 1);
  const zeros = constant.map(() => 0);
  switch (node.op) {
    case 'Add':
      return { scale: ones, offset: constant };
    case 'Mul':
      return { scale: constant, offset: zeros };
    case 'Sub':
      return a === value
        ? { scale: ones, offset: constant.map((each) => -each) }
        : { scale: ones.map((one) => -one), offset: constant };
    case 'Div':
      return a === value && !constant.includes(0)
        ? { scale: constant.map((each) => 1 / each), offset: zeros }
        : undefined;
    default:
      return undefined;
  }
}

function batchNormalization(graph: Graph, node: Node): Pick<Normalization, 'scale' | 'offset'> | undefined {
  const [gamma, beta, mean, variance] = node.inputs.slice(1, 5).map((name) => perChannel(graph, name));
  if (gamma === undefined || beta === undefined || mean === undefined || variance === undefined) return undefined;
  const epsilon = attribute(node, 'epsilon', 'float') ?? 1e-5;
  const scale = gamma.map((each, channel) => each / Math.sqrt(variance[channel]! + epsilon));
  return { scale, offset: beta.map((each, channel) => each - mean[channel]! * scale[channel]!) };
}

/** The values of a constant of one number or of one for each of three channels, as three numbers. */
function perChannel({ initializers }: Graph, name: string): number[] | undefined {
  const constant = initializers.get(name);
  const values = constant && floatValues(constant);
  if (values?.every(Number.isFinite) !== true) return undefined;
  if (values.length === 1) return Array<number>(3).fill(values[0]!);
  return values.length === 3 ? [...values] : undefined;
}
