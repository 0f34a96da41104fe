/**
 * From a model's folder to what the engine runs. A network (network.ts), whose weights stay in their files, is finished
 * in three ways that share the same bytes:
 *
 *   classify   image → logits at the native size (any size for a net that ends in global average pooling)
 *   score      image → class map → mean over space: the logits of an image larger than the native size
 *   dense      image + classes → the maps of those classes (graph/passes/select-classes.ts)
 *
 * A network that cannot be convolutionalized has the first only. Source: Simonyan 2015 §3.2, Long 2015 (fully
 * convolutional evaluation), Lin 2014 (global average pooling).
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ServiceError } from '../errors.js';
import { countMultiplyAdds } from '../graph/cost.js';
import { mapGeometry, type MapGeometry } from '../graph/geometry.js';
import type { Graph } from '../graph/graph.js';
import { GraphError } from '../graph/graph-error.js';
import { imageShapes } from '../graph/native-shapes.js';
import { writeOnnx } from '../graph/onnx.js';
import { applyPasses } from '../graph/pass.js';
import { addImageInput } from '../graph/passes/add-image-input.js';
import { averageClassMap } from '../graph/passes/average-class-map.js';
import { CLASS_MAP } from '../graph/passes/convolutionalize-gemm.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { selectClasses } from '../graph/passes/select-classes.js';
import { inferShapes } from '../graph/shapes.js';
import type { SessionSpec } from '../runtime/session.js';
import { loadBuiltIn } from './built-in.js';
import { MANIFEST_FILE, ONNX, type Label, type Manifest, type ModelFolder } from './manifest.js';
import { ModelFileError } from './model-file-error.js';
import type { ConvolutionalNet, Network, Unavailable } from './network.js';
import { loadOnnx } from './onnx-network.js';

export type View = 'classify' | 'score' | 'dense';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A model ready to be opened: its graphs, its numbers, its labels. Immutable. */
export interface CompiledModel {
  readonly manifest: Manifest;
  readonly labels: readonly Label[];
  /** sha256 over the manifest, the labels and the weights, hexadecimal: changes whenever an answer could. */
  readonly digest: string;
  readonly parameters: number;
  /** The size the classifier was made for, in pixels. */
  readonly nativeSize: number;
  /** The net as a fully convolutional one, or why it cannot be one. */
  readonly dense: DenseView | Unavailable;
  /** `score` and `dense` are there when the net is convolutional. */
  readonly sessions: { readonly classify: SessionSpec } & Readonly<Partial<Record<View, SessionSpec>>>;
  /** The view that gives the logits of an input of this size. Throws OUTPUT_UNSUPPORTED where none does. */
  classifyView(input: Size): 'classify' | 'score';
  /** Multiply-adds for one image of this size, convolutions and matrix products (an estimate for `classify`). */
  multiplyAdds(input: Size): number;
  /** What is to be checked before the dense view may be trusted; absent for a net that is built in. */
  readonly parityCheck?: ParityCheck;
  /** Of an imported net: how far its dense view is from what the file computes, as a part of the largest logit. */
  readonly deviation?: number;
}

/** The class map of a fully convolutional net. */
export interface DenseView {
  /** The net ends in global average pooling: its `classify` view takes any size. */
  readonly poolsGlobally: boolean;
  /** Where the cells of the class map look, in input pixels. */
  readonly geometry: MapGeometry;
  /** Cells of the class map for an input; zero or less where the input is smaller than one window. */
  mapSize(input: Size): Size;
  /** Smallest side that yields one cell, in pixels. */
  readonly minimumSize: number;
}

/** Two sessions that have to give the same logits for an image of the native size. */
export interface ParityCheck {
  /** The net as its file has it. */
  readonly original: SessionSpec;
  /** The mean of the class map. */
  readonly converted: SessionSpec;
  readonly nativeSize: number;
  /** Largest difference that is allowed, as a part of the largest absolute logit. */
  readonly tolerance: number;
  /** Of the two graphs and the weights, hexadecimal. */
  readonly digest: string;
}

/** As a part of the largest absolute logit: rounding in another order, in single and in half precision. */
const TOLERANCE = { float32: 1e-3, float16: 1e-2 };

/** The dense view of a model that has one. Throws OUTPUT_UNSUPPORTED with the reason where it has none. */
export function denseView({ manifest, dense }: CompiledModel): DenseView {
  if ('geometry' in dense) return dense;
  throw new ServiceError('OUTPUT_UNSUPPORTED', `${manifest.name} has no class map: ${dense.unavailable}.`);
}

export interface CompileOptions {
  /** Tells this load from all others of the same model: no two share a session's id, `name@version#digest.load/view`. */
  readonly load: number;
  /** Where converted weights are kept: the setting FULLCONV_CACHE. */
  readonly cache: string;
}

/** Load, convolutionalize and finish. Reads headers and hashes the files. Throws ModelFileError or GraphError. */
export async function compileModel(content: ModelFolder, { load, cache }: CompileOptions): Promise<CompiledModel> {
  const { folder, manifest, labels } = content;
  const network = await (manifest.architecture === ONNX ? loadOnnx(content) : loadBuiltIn(content, cache));
  checkDigest(content, network);
  checkSize(folder, manifest, network);

  const { dense, weightsDigest } = network;
  const imageInput = addImageInput(manifest.input);
  const digest = createHash('sha256')
    .update(JSON.stringify([manifest, labels, weightsDigest]))
    .digest('hex');
  const id = `${manifest.name}@${manifest.version}#${digest.slice(0, 8)}.${load}`;
  const session = (view: string, graph: Graph): SessionSpec => ({
    id: `${id}/${view}`,
    model: writeOnnx(graph),
    weightsFolder: network.weightsFolder,
  });
  const sessions = {
    classify: session('classify', applyPasses(network.classifier, [imageInput])),
    ...('graph' in dense
      ? {
          score: session('score', applyPasses(dense.graph, [averageClassMap(), imageInput])),
          dense: session('dense', applyPasses(dense.graph, [selectClasses(), imageInput])),
        }
      : {}),
  };
  const original = network.original && session('original', applyPasses(network.original.graph, [imageInput]));
  return {
    manifest,
    labels,
    digest,
    parameters: network.parameters,
    nativeSize: network.nativeSize,
    dense: 'graph' in dense ? describeDense(dense, network.nativeSize) : dense,
    sessions,
    classifyView: viewChooser(manifest, network),
    multiplyAdds: multiplyAddCounter(network),
    ...(original === undefined || sessions.score === undefined
      ? {}
      : { parityCheck: parityOf(original, sessions.score, network) }),
  };
}

/**
 * The model without its dense view, which turned out not to be what the file computes, classifying by the file's own net
 * at its native size.
 */
export function withoutDense(model: CompiledModel, unavailable: string): CompiledModel {
  const { nativeSize, manifest, sessions, parityCheck } = model;
  const classify = { ...(parityCheck?.original ?? sessions.classify), id: sessions.classify.id };
  const classifyView = ({ width, height }: Size): 'classify' => {
    if (width !== nativeSize || height !== nativeSize) throw otherSize(manifest, nativeSize, { width, height });
    return 'classify';
  };
  return { ...model, dense: { unavailable }, sessions: { classify }, classifyView };
}

function checkDigest({ folder, manifest: { weights } }: ModelFolder, { fileDigest }: Network): void {
  if (weights.sha256 === undefined || weights.sha256 === fileDigest) return;
  const detail = `is ${fileDigest}, the manifest says ${weights.sha256}`;
  throw new ModelFileError(join(folder, weights.file), 'sha256', detail);
}

/** A net of one size can only be asked at that size. */
function checkSize(folder: string, { input }: Manifest, { classifier, dense, nativeSize }: Network): void {
  if (input.size === nativeSize || 'graph' in dense) return;
  if (takesSize(classifier, { width: input.size, height: input.size })) return;
  throw new ModelFileError(join(folder, MANIFEST_FILE), 'input.size', `must be ${nativeSize}, the net takes no other`);
}

/** Which view gives the logits: see the header. */
function viewChooser(
  manifest: Manifest,
  { classifier, dense, nativeSize }: Network,
): (input: Size) => 'classify' | 'score' {
  const takes = memoizeBySize((input) => takesSize(classifier, input));
  return (input) => {
    const isNative = input.width === nativeSize && input.height === nativeSize;
    if (isNative || ('graph' in dense && dense.poolsGlobally)) return 'classify';
    if ('graph' in dense) return 'score';
    if (takes(input)) return 'classify';
    throw otherSize(manifest, nativeSize, input);
  };
}

function otherSize({ name }: Manifest, nativeSize: number, { width, height }: Size): ServiceError {
  return new ServiceError(
    'OUTPUT_UNSUPPORTED',
    `${name} classifies only inputs of ${nativeSize}×${nativeSize} pixels; this one would be ${width}×${height}.`,
    { errors: [{ parameter: 'size', detail: `must be ${nativeSize}, with fit=crop or fit=stretch` }] },
  );
}

/** A net that was never convolutionalized may still take any size, by its own global pooling. */
function takesSize(classifier: Graph, input: Size): boolean {
  try {
    const logits = inferShapes(classifier, imageShapes(classifier, { batch: 1, ...input })).get(LOGITS);
    const [, channels, ...size] = classifier.inputs[0]!.dims;
    const isFree = channels === 3 && size.every((dim) => typeof dim === 'string');
    return isFree && logits?.length === 2 && logits[0] === 1 && logits[1] === classifier.outputs[0]!.dims[1];
  } catch (error) {
    if (error instanceof GraphError) return false;
    throw error;
  }
}

/** Where shapes cannot be told, as many as there are parameters. */
function multiplyAddCounter({ classifier, dense, parameters }: Network): (input: Size) => number {
  const graph = 'graph' in dense ? dense.graph : classifier;
  return memoizeBySize((input) => {
    try {
      return countMultiplyAdds(graph, inferShapes(graph, imageShapes(graph, { batch: 1, ...input })));
    } catch (error) {
      if (error instanceof GraphError && !('graph' in dense)) return parameters;
      throw error;
    }
  });
}

function describeDense({ graph, poolsGlobally }: ConvolutionalNet, nativeSize: number): DenseView {
  const shapes = memoizeBySize((input) => inferShapes(graph, imageShapes(graph, { batch: 1, ...input })));
  const mapSize = (input: Size): Size => {
    const [, , height = 0, width = 0] = shapes(input).get(CLASS_MAP) ?? [];
    return { width, height };
  };
  return {
    poolsGlobally,
    geometry: mapGeometry(graph, CLASS_MAP),
    mapSize,
    minimumSize: smallestSide(nativeSize, mapSize),
  };
}

function parityOf(original: SessionSpec, converted: SessionSpec, network: Network): ParityCheck {
  const digest = createHash('sha256').update(network.weightsDigest).update(original.model).update(converted.model);
  return {
    original,
    converted: { ...converted, id: `${converted.id}-parity` },
    nativeSize: network.nativeSize,
    tolerance: network.original?.isHalf ? TOLERANCE.float16 : TOLERANCE.float32,
    digest: digest.digest('hex'),
  };
}

/** The smallest square with one cell: the native size has one, and a larger input never has fewer. */
function smallestSide(nativeSize: number, mapSize: (input: Size) => Size): number {
  let without = 0;
  let withCell = nativeSize;
  while (withCell - without > 1) {
    const side = Math.floor((without + withCell) / 2);
    if (mapSize({ width: side, height: side }).width >= 1) withCell = side;
    else without = side;
  }
  return withCell;
}

/** Remember the latest sizes asked for; a client that sends ever new sizes must not make the memory grow. */
function memoizeBySize<T>(compute: (size: Size) => T, capacity = 64): (size: Size) => T {
  const known = new Map<string, T>();
  return (size) => {
    const key = `${size.width}x${size.height}`;
    const value = known.get(key) ?? compute(size);
    known.delete(key);
    known.set(key, value);
    const [oldest] = known.keys();
    if (known.size > capacity && oldest !== undefined) known.delete(oldest);
    return value;
  };
}
