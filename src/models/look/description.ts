/**
 * Describes a model and what it can answer as a plain object, which becomes a table for people and JSON for programs.
 * Nothing is run, and nothing is read beyond what the compilation has read.
 */
import { OperatorError, ServiceError } from '../../errors.js';
import { attribute } from '../../graph/attributes.js';
import { fullyConnected, tailOf } from '../../graph/classifier-head.js';
import type { MapGeometry } from '../../graph/geometry.js';
import type { Graph, Initializer, Node } from '../../graph/graph.js';
import { isOfKind } from '../../graph/operators.js';
import type { CompiledModel } from '../compile.js';
import type { Edge } from '../../maps/edges.js';
import type { StatedSize } from '../../maps/input-plan.js';
import type { Activation } from '../../maps/scores.js';
import type { DenseViews } from '../dense-views.js';
import { isSameSize, type Size } from '../input-size.js';
import { layersOf, type Layer } from './layers.js';
import type { InputPreset, Label, Manifest } from '../manifest.js';
import type { Network, OutputKind } from '../networks/network.js';

export interface ModelDescription extends Pick<Manifest, 'name' | 'version' | 'architecture'> {
  readonly description?: string | undefined;
  readonly license?: string | undefined;
  readonly source?: string | undefined;
  readonly options?: Manifest['options'];
  /** Absent if there are no weights. */
  readonly digest?: string;
  readonly classes: number;
  /** In class order; absent if only their number is known. */
  readonly labels?: readonly Label[];
  /** Absent if only the net is known. */
  readonly input?: InputPreset;
  /** What the file gives, and what makes probabilities of its logits. */
  readonly output: OutputKind;
  readonly activation: Activation;
  /** Logits are divided by it before they become probabilities. */
  readonly temperature: number;
  /** Of the images that the classifier was made for: the side of a square, or [height, width]. */
  readonly nativeSize: StatedSize;
  /** Of the image that layers, multiply-adds and cells are given for. */
  readonly size: StatedSize;
  readonly parameters: number;
  /** Multiply-adds for one image of that size. */
  readonly multiplyAdds: number;
  /** Bytes of the weights as stored. */
  readonly weightBytes: number;
  /** Of the classifier; at another size that it does not take, of the fully convolutional net. */
  readonly layers: readonly Layer[];
  readonly head: Head;
  readonly classify: { readonly sizes: 'any' | 'native'; readonly smallest: number };
  readonly heatmaps: Heatmaps;
  /** Present for an imported net with a class map. */
  readonly parity?: {
    /** Largest difference of a logit from the file's own, as a part of the largest; absent if not measured. */
    readonly difference?: number;
    readonly tolerance: number;
  };
}

/** The end of the classifier in words, and its form in the class map's net. */
export interface Head {
  readonly was: string;
  readonly became?: string;
}

export type Heatmaps =
  | {
      readonly available: true;
      /** The net's own first; each with the cost of a pixel relative to it. */
      readonly outputStrides: readonly { readonly outputStride: number; readonly pixelCost: number }[];
      readonly edges: readonly Edge[];
      /** Geometry at the net's own output stride. */
      readonly geometry: MapGeometry;
      /** Cells of the class map, and where the head reaches over its border. */
      readonly cells: Size;
      readonly sameCells?: Size;
      /** Smallest side of an input, in pixels. */
      readonly smallest: number;
    }
  | { readonly available: false; readonly reason: string };

/** The known parts of a model besides its net. */
export interface Known {
  readonly weights: boolean;
  /** Whether its labels and preprocessing are known. */
  readonly manifest: boolean;
}

/**
 * Describe a compiled model, whose parity has been judged if it was measured, and the network it was compiled from. `size`
 * is that of the image; default the native one. Throws OperatorError if the net does not take it.
 */
export function describeModel(
  model: CompiledModel,
  network: Network,
  known: Known,
  size: Size = model.nativeSize,
): ModelDescription {
  const { manifest, labels, digest, nativeSize, parameters, output, conversion, dense, deviation, parityCheck } = model;
  const { name, version, description, license, source, architecture, options, input } = manifest;
  const { classifier } = network;
  const layers = layersOf(graphAt(model, network, size), size);
  return {
    name,
    version,
    description,
    license,
    source,
    architecture,
    ...(options === undefined ? {} : { options }),
    ...(known.weights ? { digest } : {}),
    classes: labels.length,
    output,
    ...conversion,
    ...(known.manifest ? { labels, input } : {}),
    nativeSize: stated(nativeSize),
    size: stated(size),
    parameters,
    multiplyAdds: layers.reduce((sum, layer) => sum + layer.multiplyAdds, 0),
    weightBytes: storedBytes(network.original?.graph ?? classifier),
    layers,
    head: headOf(network, dense),
    classify: sizesOf(model),
    heatmaps: heatmapsOf(dense, size),
    ...(parityCheck === undefined || 'unavailable' in dense
      ? {}
      : {
          parity: {
            ...(deviation === undefined ? {} : { difference: deviation }),
            tolerance: parityCheck.tolerance,
          },
        }),
  };
}

/** The net as it takes an image of this size. Throws OperatorError if it does not. */
export function graphAt(model: CompiledModel, network: Network, size: Size): Graph {
  const { nativeSize, dense } = model;
  const { classifier } = network;
  if (isSameSize(size, nativeSize)) return classifier;
  try {
    model.classifyView(size).check(size);
  } catch (cause) {
    if (!(cause instanceof ServiceError)) throw cause;
    throw new OperatorError(cause.message, { cause });
  }
  return 'view' in dense && 'graph' in network.dense ? network.dense.graph : classifier;
}

const stated = ({ width, height }: Size): StatedSize => (width === height ? width : [height, width]);

function heatmapsOf(dense: CompiledModel['dense'], size: Size): Heatmaps {
  if ('unavailable' in dense) return { available: false, reason: dense.unavailable };
  const { outputStrides, edges, minimumSize } = dense;
  const own = dense.view();
  return {
    available: true,
    outputStrides: outputStrides.map((outputStride) => ({ outputStride, pixelCost: pixelCost(dense, outputStride) })),
    edges,
    geometry: own.geometry,
    cells: own.mapSize(size),
    ...(edges.includes('same') && { sameCells: dense.view({ edge: 'same' }).mapSize(size) }),
    smallest: minimumSize,
  };
}

/** Rounded to tenths. */
function pixelCost(dense: DenseViews, outputStride: number): number {
  return Math.round(dense.view({ outputStride }).pixelCost * 10) / 10;
}

/** Tells whether the classifier takes other sizes than the native one, by trying one twice as large. */
function sizesOf(model: CompiledModel): ModelDescription['classify'] {
  const { nativeSize, dense } = model;
  const { width, height } = nativeSize;
  try {
    model.classifyView({ width: 2 * width, height: 2 * height });
    return { sizes: 'any', smallest: 'view' in dense ? dense.minimumSize : 1 };
  } catch {
    return { sizes: 'native', smallest: Math.min(width, height) };
  }
}

function storedBytes({ initializers }: Graph): number {
  const stored = new Map<string, number>();
  for (const { name, data } of initializers.values()) {
    if (data.kind === 'external') stored.set(`${data.file}:${data.offset}`, data.length);
    if (data.kind === 'inline') stored.set(name, data.bytes.byteLength);
  }
  return [...stored.values()].reduce((sum, bytes) => sum + bytes, 0);
}

function headOf({ classifier, dense }: Network, view: CompiledModel['dense']): Head {
  const tail = tailOf(classifier);
  const operators = tail.slice(0, 6).map(({ op }) => op);
  const was = `… → ${operators.reverse().join(' → ')}`;
  if ('unavailable' in view || !('graph' in dense)) return { was };
  const pool = tail.find((node) => isOfKind(node, 'global-pool'));
  if (pool === undefined) {
    return windowedHead(classifier, tail, dense.graph) ?? { was, became: 'the same in a window at each place' };
  }
  return dense.poolsGlobally ? pooledHead(classifier, tail) : pooledStack(classifier, tail, pool, dense.graph);
}

function pooledHead(classifier: Graph, tail: readonly Node[]): Head {
  const weightOf = ({ inputs }: Node): Initializer | undefined => classifier.initializers.get(inputs[1] ?? '');
  const behindPool = tail.slice(
    0,
    tail.findIndex(({ op }) => op === 'GlobalAveragePool'),
  );
  const layers = behindPool.filter((node) => (weightOf(node)?.dims.length ?? 0) > 1).reverse();
  const [layer] = layers;
  if (layer === undefined) {
    return {
      was: 'convolution to the classes → global average pooling',
      became: 'the map that is pooled is the class map',
    };
  }
  const widths = [weightOf(layer)?.dims[1], ...layers.map((each) => weightOf(each)?.dims[0])].join(' to ');
  const kind = layer.op === 'Conv' ? '1×1 convolution' : 'fully connected';
  return {
    was: `global average pooling → ${kind}, ${widths}`,
    became: `1×1 ${layers.length === 1 ? 'convolution, which gives' : 'convolutions, which give'} the class map → global average pooling`,
  };
}

function pooledStack(classifier: Graph, tail: readonly Node[], pool: Node, convolutional: Graph): Head {
  const weights = tail
    .slice(0, tail.indexOf(pool))
    .flatMap(({ inputs }) => classifier.initializers.get(inputs[1] ?? '') ?? [])
    .filter(({ dims }) => dims.length > 1)
    .reverse();
  const sliding = convolutional.nodes.find(({ name }) => name === pool.name);
  const window = ((sliding && attribute(sliding, 'kernel_shape', 'ints')) ?? []).join('×');
  const kind = pool.op === 'GlobalMaxPool' ? 'maximum' : 'average';
  const widths = [weights[0]?.dims[1], ...weights.map(({ dims }) => dims[0])].join(' to ');
  return {
    was: `global ${kind} pooling → fully connected, ${widths}`,
    became: `${kind} of ${window} cells around each → convolutions of 1×1`,
  };
}

/** Undefined for a head without fully connected layers. */
function windowedHead(classifier: Graph, tail: readonly Node[], convolutional: Graph): Head | undefined {
  const layers = tail.flatMap((node) => fullyConnected(classifier, node) ?? []).reverse();
  if (layers.length === 0) return undefined;
  const kernels = layers.map(({ node }) => {
    const convolution = convolutional.nodes.find(({ name }) => name === node.name);
    return ((convolution && attribute(convolution, 'kernel_shape', 'ints')) ?? []).join('×');
  });
  const widths = [layers[0]?.weight.dims[1], ...layers.map(({ weight }) => weight.dims[0])];
  return {
    was: `fully connected over a window of ${kernels[0] ?? ''} cells, ${widths.join(' to ')}`,
    became: `convolutions of ${kernels.join(', ')} over a map of any size`,
  };
}
