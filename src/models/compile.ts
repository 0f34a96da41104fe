/**
 * From a model's folder to what the engine runs. A network (network.ts), whose weights stay in their files, is finished
 * in several ways that share the same bytes:
 *
 *   classify   image → logits at the native size (any size for a net that ends in global average pooling)
 *   score      image → class map → mean over space: the logits of an image larger than the native size
 *   dense      image + classes → the maps of those classes (dense-views.ts)
 *
 * A network that cannot be convolutionalized has the first only. Source: Simonyan 2015 §3.2, Long 2015 (fully
 * convolutional evaluation), Lin 2014 (global average pooling).
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ServiceError } from '../errors.js';
import { countMultiplyAdds } from '../graph/cost.js';
import type { Graph } from '../graph/graph.js';
import { GraphError } from '../graph/graph-error.js';
import { imageShapes } from '../graph/native-shapes.js';
import { averageClassMap } from '../graph/passes/average-class-map.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { halfWeights, reportWeights } from '../graph/passes/report-weights.js';
import { inferShapes } from '../graph/shapes.js';
import type { SessionSpec } from '../runtime/session.js';
import { loadBuiltIn } from './networks/built-in.js';
import { createDenseViews, type DenseViews, type View } from './dense-views.js';
import { memoizeBySize, type Size } from './input-size.js';
import {
  MANIFEST_FILE,
  ONNX,
  TFJS_LAYERS,
  type Label,
  type Manifest,
  type ModelFolder,
  type Precision,
} from './manifest.js';
import { ModelFileError } from './files/model-file-error.js';
import type { Network, OriginalNet, Unavailable } from './networks/network.js';
import { readKernelCentres } from './networks/kernel-centres.js';
import { loadOnnx } from './networks/onnx-network.js';
import { narrowed, sessionWriter, type SessionWriter } from './session-writer.js';
import { loadTfjsLayers } from './networks/tfjs-network.js';

/** A model ready to be opened: its graphs, its numbers, its labels. Immutable. */
export interface CompiledModel {
  readonly manifest: Manifest;
  readonly labels: readonly Label[];
  /** sha256 over the manifest, the labels and the weights, hexadecimal: changes whenever an answer could. */
  readonly digest: string;
  /** What it is really computed in: half precision only where the device has it. */
  readonly precision: Precision;
  readonly parameters: number;
  /** The size the classifier was made for, in pixels. */
  readonly nativeSize: number;
  /** The classifier at its native size. */
  readonly classifier: View;
  /** The net as a fully convolutional one, or why it cannot be one. */
  readonly dense: DenseViews | Unavailable;
  /** The view that gives the logits of an input of this size. Throws OUTPUT_UNSUPPORTED where none does. */
  classifyView(input: Size): View;
  /** What is to be checked before the dense view may be trusted; absent for a net that is built in. */
  readonly parityCheck?: ParityCheck;
  /** What is to be checked before a model in half precision may answer. */
  readonly halfCheck?: ParityCheck;
  /** Of an imported net: how far its dense view is from what the file computes, as a part of the largest logit. */
  readonly deviation?: number;
}

/** Two sessions that have to give the same logits for an image of the native size. */
export interface ParityCheck {
  /** The net as its file has it, or in single precision. */
  readonly original: SessionSpec;
  /** The original is run without the engine's optimizations. */
  readonly asWritten: boolean;
  /** The mean of the class map, or the net in half precision. */
  readonly converted: SessionSpec;
  /** Of the converted net: whose sizes it says (passes/report-weights.ts). */
  readonly weights?: readonly string[];
  readonly nativeSize: number;
  /** Largest difference that is allowed, as a part of the largest absolute logit. */
  readonly tolerance: number;
  /** Of the two graphs and the weights, hexadecimal. */
  readonly digest: string;
}

/** As a part of the largest absolute logit: rounding in another order, in single and in half precision. */
const TOLERANCE = { float32: 1e-3, float16: 1e-2 };

/** The class maps of a model that has them. Throws OUTPUT_UNSUPPORTED with the reason where it has none. */
export function denseViews({ manifest, dense }: CompiledModel): DenseViews {
  if ('view' in dense) return dense;
  throw new ServiceError('OUTPUT_UNSUPPORTED', `${manifest.name} has no class map: ${dense.unavailable}.`);
}

export interface CompileOptions {
  /** Tells this load from all others of the same model: no two share a session's id, `name@version#digest.load/view`. */
  readonly load: number;
  /** Where converted weights are kept: the setting FULLCONV_CACHE. */
  readonly cache: string;
  /** Whether the device computes in half precision (an engine says so: runtime/engine-description.ts). Default: it does not. */
  readonly computesHalf?: boolean;
}

/** Load, convolutionalize and finish. Reads headers and hashes the files. Throws ModelFileError or GraphError. */
export async function compileModel(content: ModelFolder, options: CompileOptions): Promise<CompiledModel> {
  return finishNetwork(content, await loadNetwork(content, options.cache), options);
}

/** Load and convolutionalize. Reads headers and hashes the files. Throws ModelFileError or GraphError. */
export async function loadNetwork(content: ModelFolder, cache: string): Promise<Network> {
  const { folder, manifest } = content;
  const network = await loadFormat(content, cache);
  checkDigest(content, network);
  checkSize(folder, manifest, network);
  checkPrecision(content, network);
  return withKernelCentres(network);
}

async function withKernelCentres(network: Network): Promise<Network> {
  const { dense, weightsFolder } = network;
  if ('unavailable' in dense) return network;
  return { ...network, dense: { ...dense, kernelCentres: await readKernelCentres(dense.graph, weightsFolder) } };
}

/** The sessions and the numbers of a network. */
export function finishNetwork(
  { manifest, labels }: ModelFolder,
  network: Network,
  { load, computesHalf = false }: Omit<CompileOptions, 'cache'>,
): CompiledModel {
  const { dense, nativeSize, parameters, weightsDigest } = network;
  const digest = createHash('sha256')
    .update(JSON.stringify([manifest, labels, weightsDigest]))
    .digest('hex');
  const id = `${manifest.name}@${manifest.version}#${digest.slice(0, 8)}.${load}`;
  const write = sessionWriter(network, { id, preprocessing: manifest.input });
  const precision = precisionOf(manifest, computesHalf);
  const inHalf = precision === 'fp16';
  const serve: SessionWriter = (view, net, options) => write(view, net, { ...options, inHalf });

  const multiplyAdds = multiplyAddCounter(network);
  const side = manifest.input.size;
  const typical = {
    feeds: { image: { type: 'uint8', dims: [side, side, 3] } },
    cost: multiplyAdds({ width: side, height: side }),
  } as const;
  const fixed: View = {
    session: { ...serve('classify', network.classifier), typical },
    multiplyAdds,
    pixelCost: 1,
    check: () => undefined,
  };
  const common = {
    manifest,
    labels,
    digest,
    precision,
    parameters,
    nativeSize,
    ...(inHalf && { halfCheck: halfCheckOf(network, write) }),
  };
  if ('unavailable' in dense) {
    return { ...common, dense, classifier: fixed, classifyView: fixedSizeClassifier(manifest, network, fixed) };
  }

  const views = createDenseViews(dense, { name: manifest.name, nativeSize, session: serve });
  const { check } = views;
  const classifier: View = dense.poolsGlobally ? { ...fixed, check } : fixed;
  const score: View = { ...fixed, session: serve('score', dense.graph, { ends: [averageClassMap()] }), check };
  // A net that pools a window of its map takes smaller images than that by itself.
  const takes = memoizeBySize((input) => takesSize(network.classifier, input));
  const isNative = ({ width, height }: Size): boolean => width === nativeSize && height === nativeSize;
  const isSmall = ({ width, height }: Size): boolean => Math.min(width, height) < views.minimumSize;
  return {
    ...common,
    dense: views,
    classifier,
    classifyView: (input) =>
      dense.poolsGlobally || isNative(input) || (isSmall(input) && takes(input)) ? classifier : score,
    ...(network.original && { parityCheck: parityCheckOf(network.original, dense.graph, network, write) }),
  };
}

/** What a model is computed in on a device that has half precision, or has not. */
function precisionOf({ precision = 'fp32' }: Manifest, computesHalf: boolean): Precision {
  return precision === 'fp16' && !computesHalf ? 'fp32' : precision;
}

/** By what the manifest says the weights file is. */
function loadFormat(content: ModelFolder, cache: string): Promise<Network> {
  switch (content.manifest.architecture) {
    case ONNX:
      return loadOnnx(content);
    case TFJS_LAYERS:
      return loadTfjsLayers(content, cache);
    default:
      return loadBuiltIn(content, cache);
  }
}

/**
 * The model without its dense view, which turned out not to be what the file computes, classifying by the file's own net
 * at its native size.
 */
export function withoutDense(model: CompiledModel, unavailable: string): CompiledModel {
  const { nativeSize, manifest, parityCheck } = model;
  const session = { ...(parityCheck?.original ?? model.classifier.session), id: model.classifier.session.id };
  const classifier = { ...model.classifier, session };
  return {
    ...model,
    // The file's own net is not narrowed.
    precision: model.precision === 'fp16' ? 'fp32' : model.precision,
    dense: { unavailable },
    classifier,
    classifyView(input) {
      if (input.width === nativeSize && input.height === nativeSize) return classifier;
      throw otherSize(manifest, nativeSize, input);
    },
  };
}

function checkDigest({ folder, manifest: { weights } }: ModelFolder, { fileDigest }: Network): void {
  if (weights.sha256 === undefined || weights.sha256 === fileDigest) return;
  const detail = `is ${fileDigest}, the manifest says ${weights.sha256}`;
  throw new ModelFileError(join(folder, weights.file), 'sha256', detail);
}

/** What computes in integers says so itself; a manifest that says it of another net, or half precision of this one, is wrong. */
function checkPrecision({ folder, manifest: { precision } }: ModelFolder, { classifier }: Network): void {
  const isQuantized = classifier.nodes.some(({ op }) => op === 'QuantizeLinear');
  const fail = (detail: string): ModelFileError => new ModelFileError(join(folder, MANIFEST_FILE), 'precision', detail);
  if (precision === 'int8' && !isQuantized) {
    throw fail('is int8, but the net has no quantized values; fullconv quantize makes one that has');
  }
  if (precision === 'fp16' && isQuantized) throw fail('is fp16, but the net computes in 8-bit integers');
}

/** A net of one size can only be asked at that size. */
function checkSize(folder: string, { input }: Manifest, { classifier, dense, nativeSize }: Network): void {
  if (input.size === nativeSize || 'graph' in dense) return;
  if (takesSize(classifier, { width: input.size, height: input.size })) return;
  throw new ModelFileError(join(folder, MANIFEST_FILE), 'input.size', `must be ${nativeSize}, the net takes no other`);
}

/** The view of a net that was never convolutionalized, which may still take other sizes by itself. */
function fixedSizeClassifier(
  manifest: Manifest,
  { classifier, nativeSize }: Network,
  view: View,
): (input: Size) => View {
  const takes = memoizeBySize((input) => takesSize(classifier, input));
  return (input) => {
    if ((input.width === nativeSize && input.height === nativeSize) || takes(input)) return view;
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

/** The class map's mean against what the file computes. */
function parityCheckOf(original: OriginalNet, classMap: Graph, network: Network, write: SessionWriter): ParityCheck {
  return parityCheck(network, {
    original: write('original', original.graph),
    converted: write('score-parity', classMap, { ends: [averageClassMap()] }),
    // As written, a quantized net is computed in float between its roundings: another net than the one that is served.
    asWritten: !original.graph.nodes.some(({ op }) => op === 'QuantizeLinear'),
    tolerance: original.isHalf ? TOLERANCE.float16 : TOLERANCE.float32,
  });
}

/** The net in half precision against itself in single, by its class map where it has one. */
function halfCheckOf(network: Network, write: SessionWriter): ParityCheck {
  const { classifier, dense } = network;
  const [net, ends] = 'graph' in dense ? [dense.graph, [averageClassMap()]] : [classifier, []];
  const half = narrowed(net);
  const weights = halfWeights(half);
  return {
    ...parityCheck(network, {
      original: write('single-parity', net, { ends }),
      converted: write('half-parity', half, { ends: [...ends, ...(weights.length === 0 ? [] : [reportWeights()])] }),
      asWritten: false,
      tolerance: TOLERANCE.float16,
    }),
    weights,
  };
}

function parityCheck(
  { nativeSize, weightsDigest }: Network,
  compared: Pick<ParityCheck, 'original' | 'asWritten' | 'converted' | 'tolerance'>,
): ParityCheck {
  const { original, converted, asWritten } = compared;
  const digest = createHash('sha256').update(weightsDigest).update(original.model).update(converted.model);
  if (asWritten) digest.update('as written');
  return { ...compared, nativeSize, digest: digest.digest('hex') };
}
