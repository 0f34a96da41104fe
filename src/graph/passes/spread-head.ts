/**
 * Apply any head of a classifier to each cell of its last map.
 *
 *   Before: x [N, C, h, w] → pooling over the whole map → head: [N, C] → logits [N, K]
 *   cells:  x [N, C, h, w] → head at each cell → class map [N, K, h, w]
 *   windows: x [N, C, h, w] → the pooling in a window of the native map's size, stride 1 → head at each cell
 *            → class map [N, K, h', w']
 *
 * A map that is flattened in front of a fully connected layer has the form `windows` too: the layer is a convolution over it.
 *
 * The head may branch: poolings of several maps of one size may be joined. It may consist of fully connected layers and 1×1
 * convolutions with weights of their own, what works element by element or channel by channel, arithmetic with constants,
 * normalization over the channels (a LayerNormalization, or written out), and what only names dimensions anew.
 *
 * Preconditions: every way from the image to the only output leads through a global pooling or a flattening, of maps of one size; behind these there is
 * only what is named above.
 *
 * `windows` is equal because at the native size the one window is the whole map; on a larger image each cell is the classifier at
 * one place. `cells` is the classifier only where all poolings are means and the head is affine: head(mean x) = mean head(x).
 * Else a cell is what the classifier would say if all of the map were like this cell. Source: Zhou 2016 (class activation maps) for
 * the affine case.
 */
import { elementCount } from '../../tensor.js';
import { attribute, axesOf, int, ints } from '../attributes.js';
import { isPointwise } from '../classifier-head.js';
import { GraphError, nodeError } from '../graph-error.js';
import type { Attribute, Graph, Initializer, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { isOfKind } from '../operators.js';
import { nameGiver } from '../names.js';
import { producersOf, prune } from '../rewrite.js';
import { coversMap } from '../windows.js';
import { CLASS_MAP } from './convolutionalize-gemm.js';

export interface SpreadHead {
  readonly graph: Graph;
  /** The mean of the map is the logits, whatever the image. Only of `cells`. */
  readonly isAffine: boolean;
}

/** Throws GraphError naming the first node that is not understood, what it does, and what would have to change. */
export function spreadHead(graph: Graph, form: 'cells' | 'windows', nativeSize: NativeSize): SpreadHead {
  const [output, ...others] = graph.outputs;
  if (output === undefined || others.length > 0) throw new GraphError('the net has more than one output');
  const shapes = nativeShapes(graph, nativeSize);
  const head = headBehindPools(graph, output.name, shapes);
  const spread = new Spreading(graph, shapes, form);
  for (const node of graph.nodes) if (head.has(node)) spread.take(node);
  return spread.finish(output.name, Number(output.dims[1]));
}

type Shapes = ReadonlyMap<string, readonly number[]>;

/** Whether it is a global pooling: reductions of both spatial axes are, and one window over the whole map. */
function isPool(graph: Graph, node: Node, shapes: Shapes): boolean {
  const dims = shapes.get(node.inputs[0] ?? '');
  if (dims?.length !== 4) return false;
  if (node.op === 'GlobalAveragePool' || node.op === 'GlobalMaxPool') return true;
  if (node.op === 'AveragePool' || node.op === 'MaxPool') return coversMap(node, dims.slice(2));
  if (node.op !== 'ReduceMean' && node.op !== 'ReduceMax') return false;
  const axes = axesOf(graph, node)?.map((axis) => (axis < 0 ? axis + 4 : axis));
  return axes?.toSorted((a, b) => a - b).join() === '2,3';
}

/** [N, C, h, w] → [N, C·h·w], of more than one cell. What is pooled and has its channels last is no map. */
function isFlattening(node: Node, shapes: Shapes): boolean {
  const [before, after] = [node.inputs[0], node.outputs[0]].map((name) => shapes.get(name ?? ''));
  if (!isOfKind(node, 'view') || before?.length !== 4 || after?.length !== 2) return false;
  return channelAxis(before) === undefined && after[1] === elementCount(before.slice(1));
}

/** The poolings and what is behind them. Throws GraphError where a way leads past them. */
function headBehindPools(graph: Graph, output: string, shapes: Shapes): ReadonlySet<Node> {
  const producers = producersOf(graph);
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  const head = new Set<Node>();
  const next = [output];
  for (let name = next.pop(); name !== undefined; name = next.pop()) {
    if (inputs.has(name)) throw new GraphError('a way leads from the image to the output past any global pooling');
    const node = producers.get(name);
    if (node === undefined || head.has(node)) continue;
    head.add(node);
    if (!isPool(graph, node, shapes) && !isFlattening(node, shapes)) next.push(...node.inputs);
  }
  return head;
}

const MEANS = new Set(['GlobalAveragePool', 'AveragePool', 'ReduceMean']);

/** Operators by what keeps a head affine; those that are not here do not. */
const AFFINE = new Set([
  'Add',
  'Sub',
  'Mul',
  'Div',
  'Concat',
  'Neg',
  'BatchNormalization',
  'Identity',
  'Dropout',
  'Sum',
]);

/** The head, node by node. `maps` has the value of the map [N, C, h, w] for each value [N, C], [N, C, 1, 1] or [N, 1, 1, C]. */
class Spreading {
  readonly #graph: Graph;
  readonly #shapes: Shapes;
  readonly #form: 'cells' | 'windows';
  readonly #maps = new Map<string, string>();
  readonly #nodes: Node[] = [];
  readonly #initializers: Map<string, Initializer>;
  readonly #fresh: (wanted: string) => string;
  /** The maps that were flattened, by the flat value. */
  readonly #flattened = new Map<string, string>();
  readonly #sizes = new Set<string>();
  #isAffine = true;

  constructor(graph: Graph, shapes: Shapes, form: 'cells' | 'windows') {
    this.#graph = graph;
    this.#shapes = shapes;
    this.#form = form;
    this.#initializers = new Map(graph.initializers);
    this.#fresh = nameGiver(graph);
  }

  take(node: Node): void {
    if (isPool(this.#graph, node, this.#shapes)) this.#pool(node);
    else if (isFlattening(node, this.#shapes)) this.#flatten(node);
    else if (!node.inputs.some((name) => this.#maps.has(name) || this.#flattened.has(name))) this.#keep(node);
    else if (isOfKind(node, 'identity') && this.#flattened.has(node.inputs[0]!)) this.#flatten(node);
    else if (isOfKind(node, 'identity', 'view') || this.#onlyMovesAxes(node)) this.#sameCells(node);
    else if (node.op === 'Gemm' || node.op === 'MatMul') this.#layer(node);
    else if (node.op === 'Conv') this.#pointwise(node);
    else if (isOfKind(node, 'elementwise', 'by-channel'))
      this.#emit(node, [this.#mapOf(node, 0), ...node.inputs.slice(1)]);
    else if (isOfKind(node, 'broadcast')) this.#arithmetic(node);
    else if (node.op === 'LayerNormalization') this.#normalize(node);
    else if (isOfKind(node, 'reduction')) this.#reduce(node);
    else if (node.op === 'Concat' || isOfKind(node, 'along-axis')) this.#alongChannels(node);
    else throw refusal(node, 'is not known in a head that is applied to each cell');
  }

  finish(output: string, classes: number): SpreadHead {
    const map = this.#maps.get(output);
    if (map === undefined) throw new GraphError('the output does not come from a global pooling');
    if (this.#sizes.size > 1) throw new GraphError(`the pooled maps differ in size: ${[...this.#sizes].join(' and ')}`);
    const last = this.#nodes.findLastIndex(({ outputs }) => outputs.includes(map));
    // Where nothing is left of the head, its map is that of the trunk.
    const trunk = this.#graph.nodes.filter((node) => !this.#isOfHead(node));
    const nodes = [...trunk, ...this.#nodes];
    const named: Node[] =
      last < 0 || trunk.some(({ inputs }) => inputs.includes(map))
        ? [
            ...nodes,
            { op: 'Identity', name: this.#fresh(CLASS_MAP), inputs: [map], outputs: [CLASS_MAP], attributes: {} },
          ]
        : nodes.map((node) => renamed(node, map, CLASS_MAP));
    const { dataType } = this.#graph.outputs[0]!;
    return {
      isAffine: this.#isAffine && this.#form === 'cells',
      graph: prune({
        ...this.#graph,
        nodes: named,
        initializers: this.#initializers,
        outputs: [{ name: CLASS_MAP, dataType, dims: ['N', classes, 'h', 'w'] }],
      }),
    };
  }

  readonly #taken = new Set<Node>();
  #isOfHead(node: Node): boolean {
    return this.#taken.has(node);
  }

  /** A node that reads constants alone. */
  #keep(node: Node): void {
    this.#taken.add(node);
    this.#nodes.push(node);
  }

  /** What is flattened is a window of the fully connected layer behind. */
  #flatten(node: Node): void {
    this.#taken.add(node);
    if (this.#form === 'cells') throw refusal(node, 'flattens the map, so that each cell has weights of its own');
    const [x = ''] = node.inputs;
    this.#flattened.set(node.outputs[0]!, this.#flattened.get(x) ?? x);
  }

  #pool(node: Node): void {
    this.#taken.add(node);
    const [map = ''] = node.inputs;
    const [, , height, width] = this.#shapes.get(map)!;
    this.#sizes.add(`${height}×${width}`);
    const isMean = MEANS.has(node.op);
    this.#isAffine &&= isMean;
    if (this.#form === 'cells') {
      this.#maps.set(node.outputs[0]!, map);
      return;
    }
    const window = { op: isMean ? 'AveragePool' : 'MaxPool', attributes: { kernel_shape: ints(height!, width!) } };
    this.#emit({ ...node, ...window }, [map]);
  }

  /** A view, or an axis moved: the cells stay what they are, if all numbers of one image still are the channels. */
  #sameCells(node: Node): void {
    this.#taken.add(node);
    const [before, after] = [node.inputs[0]!, node.outputs[0]!].map((name) => this.#shapes.get(name));
    if (before === undefined || after === undefined || after[0] !== before[0] || channelAxis(after) === undefined) {
      throw refusal(node, 'gives the channels another form');
    }
    this.#maps.set(node.outputs[0]!, this.#mapOf(node, 0));
  }

  #onlyMovesAxes(node: Node): boolean {
    const dims = this.#shapes.get(node.outputs[0] ?? '');
    return node.op === 'Transpose' && dims !== undefined && channelAxis(dims) !== undefined;
  }

  /** A fully connected layer becomes a 1×1 convolution. */
  #layer(node: Node): void {
    const [, weightName = '', bias = ''] = node.inputs;
    const weight = this.#graph.initializers.get(weightName);
    const isGemm = node.op === 'Gemm';
    const scales = [attribute(node, 'alpha', 'float') ?? 1, attribute(node, 'beta', 'float') ?? 1];
    const isPlain =
      weight?.dims.length === 2 && scales.every((scale) => scale === 1) && !attribute(node, 'transA', 'int');
    if (!isPlain || (isGemm && !attribute(node, 'transB', 'int'))) {
      throw refusal(node, 'is no fully connected layer with a constant weight of its own');
    }
    const flat = this.#flattened.get(node.inputs[0]!);
    if (flat !== undefined && !isGemm) throw refusal(node, 'multiplies a flattened map by a transposed weight');
    const x = flat ?? this.#mapOf(node, 0);
    if (isGemm) {
      const window = flat === undefined ? [weight.dims[1]!, 1, 1] : this.#shapes.get(flat)!.slice(1);
      const kernel = this.#constant(weight, [weight.dims[0]!, ...window]);
      this.#emit(node, [x, kernel, ...(bias === '' ? [] : [this.#bias(bias, weight.dims[0]!)])], {
        op: 'Conv',
        attributes: { kernel_shape: ints(...window.slice(1)) },
      });
      return;
    }
    // [C, K]: the product is taken with the channels last.
    const last = this.#node('Transpose', [x], `${node.name}.channels_last`, { perm: ints(0, 2, 3, 1) });
    const product = this.#node('MatMul', [last, weightName], `${node.name}.product`);
    this.#emit(node, [product], { op: 'Transpose', attributes: { perm: ints(0, 3, 1, 2) } });
  }

  /** A Gemm's bias may be a scalar, [1] or [1, K]; a convolution's is [K]. */
  #bias(name: string, channels: number): string {
    const bias = this.#graph.initializers.get(name);
    if (bias?.dims.reduce((product, size) => product * size, 1) !== channels) {
      throw new GraphError(`the bias "${name}" of a fully connected layer has not one number for each of its outputs`);
    }
    return bias.dims.length === 1 ? name : this.#constant(bias, [channels]);
  }

  #pointwise(node: Node): void {
    if (!isPointwise(this.#graph, node)) throw refusal(node, 'is a convolution that sees more than one cell');
    this.#emit(node, [this.#mapOf(node, 0), ...node.inputs.slice(1)]);
  }

  #arithmetic(node: Node): void {
    const dims = this.#shapes.get(node.outputs[0] ?? '');
    const axis = dims && channelAxis(dims);
    if (dims === undefined || axis === undefined) throw refusal(node, 'mixes the channels with other axes');
    const maps = node.inputs.filter((name) => this.#maps.has(name));
    if (maps.length > 1 && node.op !== 'Add' && node.op !== 'Sub' && node.op !== 'Sum') this.#isAffine = false;
    if (node.op === 'Div' && !this.#maps.has(node.inputs[0]!)) this.#isAffine = false;
    this.#emit(
      node,
      node.inputs.map((name) => this.#maps.get(name) ?? this.#operand(node, name, dims.length, axis)),
    );
  }

  /** A constant operand, with its channels along axis 1. */
  #operand(node: Node, name: string, rank: number, axis: number): string {
    const constant = this.#graph.initializers.get(name);
    if (constant === undefined) throw refusal(node, `reads "${name}", which is neither a constant nor pooled`);
    const { dims } = constant;
    const count = dims.reduce((product, size) => product * size, 1);
    if (count === 1) return dims.length === 0 ? name : this.#constant(constant, []);
    // Aligned at the end, as operands are broadcast.
    if (dims[axis - rank + dims.length] !== count)
      throw refusal(node, `reads "${name}", whose numbers are not one for each channel`);
    return this.#constant(constant, [1, count, 1, 1]);
  }

  /** Normalization over the channels, which come last for it. */
  #normalize(node: Node): void {
    const dims = this.#shapes.get(node.inputs[0] ?? '') ?? [];
    const axis = channelAxis(dims);
    const given = attribute(node, 'axis', 'int') ?? -1;
    const from = given < 0 ? given + dims.length : given;
    if (
      axis === undefined ||
      from > axis ||
      axis !== dims.length - 1 ||
      dims.slice(from).some((size, index) => index + from !== axis && size !== 1)
    ) {
      throw refusal(node, 'normalizes over more than the channels');
    }
    this.#isAffine = false;
    const last = this.#node('Transpose', [this.#mapOf(node, 0)], `${node.name}.channels_last`, {
      perm: ints(0, 2, 3, 1),
    });
    const normalized = this.#node('LayerNormalization', [last, ...node.inputs.slice(1)], `${node.name}.normalized`, {
      ...node.attributes,
      axis: int(-1),
    });
    this.#emit(node, [normalized], { op: 'Transpose', attributes: { perm: ints(0, 3, 1, 2) } });
  }

  /** A mean or sum over the channels, kept as an axis of size 1: a part of a normalization that is written out. */
  #reduce(node: Node): void {
    const dims = this.#shapes.get(node.inputs[0] ?? '') ?? [];
    const axes = axesOf(this.#graph, node)?.map((axis) => (axis < 0 ? axis + dims.length : axis));
    const isOverChannels =
      axes?.length === 1 && axes[0] === channelAxis(dims) && attribute(node, 'keepdims', 'int') !== 0;
    if (!isOverChannels) throw refusal(node, 'reduces more than the channels, or drops their axis');
    this.#isAffine &&= node.op === 'ReduceMean' || node.op === 'ReduceSum';
    const name = this.#fresh(`${node.name}.channels`);
    this.#initializers.set(name, { name, dataType: 'int64', dims: [1], data: { kind: 'inline', bytes: ONE } });
    this.#emit(node, [this.#mapOf(node, 0), name], { op: node.op, attributes: { keepdims: int(1) } });
  }

  #alongChannels(node: Node): void {
    const dims = this.#shapes.get(node.inputs[0] ?? '') ?? [];
    const given = attribute(node, 'axis', 'int') ?? -1;
    if ((given < 0 ? given + dims.length : given) !== channelAxis(dims))
      throw refusal(node, 'works along another axis than the channels');
    const maps = node.inputs.map((_, index) => this.#mapOf(node, index));
    this.#emit(node, maps, { op: node.op, attributes: { ...node.attributes, axis: int(1) } });
  }

  #mapOf(node: Node, index: number): string {
    const map = this.#maps.get(node.inputs[index] ?? '');
    if (map === undefined) throw refusal(node, `reads "${node.inputs[index] ?? ''}", which is not pooled`);
    return map;
  }

  /** The node, made to read maps. */
  #emit(node: Node, inputs: readonly string[], form: Partial<Pick<Node, 'op' | 'attributes'>> = {}): void {
    this.#taken.add(node);
    const [output = ''] = node.outputs;
    if (
      !AFFINE.has(node.op) &&
      node.op !== 'Gemm' &&
      node.op !== 'MatMul' &&
      node.op !== 'Conv' &&
      !isOfKind(node, 'reduction', 'window')
    ) {
      this.#isAffine = false;
    }
    this.#nodes.push({ ...node, ...form, inputs, outputs: [output] });
    this.#maps.set(output, output);
  }

  #node(
    op: string,
    inputs: readonly string[],
    wanted: string,
    attributes: Readonly<Record<string, Attribute>> = {},
  ): string {
    const name = this.#fresh(wanted);
    this.#nodes.push({ op, name, inputs, outputs: [name], attributes });
    return name;
  }

  /** The same bytes under other dimensions. */
  #constant(initializer: Initializer, dims: readonly number[]): string {
    if (
      initializer.quantization !== undefined &&
      initializer.quantization.scale.dims.length > 0 &&
      initializer.quantization.axis !== 0
    ) {
      throw new GraphError(
        `the quantized tensor "${initializer.name}" has its scales along another axis than its first`,
      );
    }
    const name = this.#fresh(`${initializer.name}.cells`);
    this.#initializers.set(name, { ...initializer, name, dims });
    return name;
  }
}

const ONE = new Uint8Array(BigInt64Array.of(1n).buffer);

/** The axis of the channels of a pooled value: all others but the batch are 1. */
function channelAxis(dims: readonly number[]): number | undefined {
  const axes = [...dims.keys()].slice(1).filter((axis) => dims[axis] !== 1);
  if (axes.length > 1 || dims.length < 2) return undefined;
  return axes[0] ?? 1;
}

function refusal(node: Node, detail: string): GraphError {
  return nodeError(node, `${detail}. The head must be built of layers that work on the pooled channels alone`);
}

function renamed(node: Node, from: string, to: string): Node {
  const rename = (name: string): string => (name === from ? to : name);
  return { ...node, inputs: node.inputs.map(rename), outputs: node.outputs.map(rename) };
}
