/**
 * From a model's folder to the sessions that the engine runs. The weights of a network (network.ts) stay in their
 * files. The network is finished as several views, which share these bytes:
 *
 *   classify   image → logits at the native size (any size for a net that ends in global average pooling)
 *   score      image → class map → mean over space: the logits of an image larger than the native size
 *   dense      image + classes → the maps of those classes (dense-views.ts)
 *
 * A network that cannot be convolutionalized has only the first. Sources: Simonyan 2015 §3.2, Long 2015 (fully
 * convolutional evaluation), Lin 2014 (global average pooling).
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { ServiceError } from '../errors.js';
import { countMultiplyAdds, countPeakValues } from '../graph/cost.js';
import type { Graph } from '../graph/graph.js';
import { GraphError } from '../graph/graph-error.js';
import { imageShapes } from '../graph/native-shapes.js';
import type { ImagePreprocessing } from '../graph/passes/add-image-input.js';
import { averageClassMap } from '../graph/passes/average-class-map.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { inferShapes } from '../graph/shapes.js';
import { pixelSize } from '../maps/input-plan.js';
import type { Conversion } from '../maps/scores.js';
import { DEFAULT_ENGINE } from '../runtime/engines.js';
import type { SessionSpec } from '../runtime/session.js';
import { loadBuiltIn } from './networks/built-in.js';
import { createDenseViews, type DenseForm, type DenseView, type DenseViews, type View } from './dense-views.js';
import { isSameSize, memoizeBySize, statedSize, type Size } from './input-size.js';
import {
  MANIFEST_FILE,
  ONNX,
  TFJS_LAYERS,
  type Label,
  type Manifest,
  type ModelFolder,
  type Precision,
} from './manifest.js';
import { DigestedFiles } from './files/file-access.js';
import { ModelFileError } from './files/model-file-error.js';
import type { Network, OutputKind, Unavailable } from './networks/network.js';
import { readKernelCentres } from './networks/kernel-centres.js';
import { loadOnnx } from './networks/onnx-network.js';
import { halfCheckOf, halfForm, parityCheckOf, type ParityCheck } from './parity-check.js';
import { choosePrecision, type Computing } from './precision.js';
import { sessionWriter, type SessionWriter } from './session-writer.js';
import { loadTfjsLayers } from './networks/tfjs-network.js';

/** A model that is ready to be opened: its sessions, numbers and labels. Immutable. */
export interface CompiledModel {
  readonly manifest: Manifest;
  /** The folder that it was read from; not for clients. */
  readonly folder: string;
  readonly labels: readonly Label[];
  /** sha256 over the manifest, the labels and the weights, hexadecimal: it changes whenever an answer could change. */
  readonly digest: string;
  /** The name of the engine that computes it. */
  readonly engine: string;
  /** The precision that is really computed in: half only if the device has it. */
  readonly precision: Precision;
  readonly parameters: number;
  /** What the file gives, and what makes probabilities of the logits that the sessions give. */
  readonly output: OutputKind;
  readonly conversion: Conversion;
  /** The images that the classifier was made for. */
  readonly nativeSize: Size;
  /** The classifier at its native size. */
  readonly classifier: View;
  /** The views of the fully convolutional net, or why there is none. */
  readonly dense: DenseViews | Unavailable;
  /** The view that gives the logits of an input of this size. Throws OUTPUT_UNSUPPORTED if none does. */
  classifyView(input: Size): View;
  /** Why its numbers may not be what they are taken for; for the log. */
  readonly doubt?: string;
  /** The files that the sessions are opened from. */
  readonly weights: DigestedFiles;
  /** The check that must pass before the dense view is trusted; absent for built-in nets. */
  readonly parityCheck?: ParityCheck;
  /** The check that must pass before a model answers in half precision. */
  readonly halfCheck?: ParityCheck;
  /** Why it is computed in single precision though the device is faster in half; for the log. */
  readonly notHalf?: string;
  /** Whether a model that does not pass is refused; otherwise it is computed in single precision. */
  readonly isHalfAskedFor?: boolean;
  /**
   * For an imported net: largest difference between logits of the dense view and of the file, as a part of the largest.
   */
  readonly deviation?: number;
}

/** The class maps of a model. Throws OUTPUT_UNSUPPORTED with the reason if it has none. */
export function denseViews({ manifest, dense }: CompiledModel): DenseViews {
  if ('view' in dense) return dense;
  throw new ServiceError('OUTPUT_UNSUPPORTED', `${manifest.name} has no class map: ${dense.unavailable}.`);
}

/** The class map of a form; where it says no kind, the model's own. Throws OUTPUT_UNSUPPORTED. */
export function denseView(model: CompiledModel, form: DenseForm): DenseView {
  return denseViews(model).view({ ...form, map: form.map ?? model.manifest.maps?.map });
}

/** Loads and convolutionalizes; `cache` is as in CompileOptions. Throws ModelFileError or GraphError. */
export type NetworkLoader = (content: ModelFolder, cache: string) => Promise<Network>;

export interface CompileOptions extends Computing {
  /** Number of this load of the model. It makes the ids of sessions unique: `name@version#digest.load/view`. */
  readonly load: number;
  /** Folder for converted weights: the setting FULLCONV_CACHE. */
  readonly cache: string;
  /** Default: loadNetwork, on the caller's thread. */
  readonly loadNetwork?: NetworkLoader | undefined;
}

/** Load, convolutionalize and finish. Reads headers and hashes the files. Throws ModelFileError or GraphError. */
export async function compileModel(content: ModelFolder, options: CompileOptions): Promise<CompiledModel> {
  const load = options.loadNetwork ?? loadNetwork;
  return finishNetwork(content, await load(content, options.cache), options);
}

/** Load and convolutionalize. Reads headers and hashes the files. Throws ModelFileError or GraphError. */
export async function loadNetwork(content: ModelFolder, cache: string): Promise<Network> {
  const { folder, manifest } = content;
  const network = await loadFormat(content, cache);
  checkDigest(content, network);
  checkSize(folder, manifest, network);
  checkPrecision(content, network);
  checkChannels(content, network);
  const complete = await withKernelCentres(network);
  // The files were opened several times: all that was read is of the bytes that were digested.
  const changed = await new DigestedFiles(network.weightsFolder, network.weightsFiles).findChanged();
  if (changed !== undefined) throw changed;
  return complete;
}

async function withKernelCentres(network: Network): Promise<Network> {
  const { dense, weightsFolder } = network;
  if ('unavailable' in dense) return network;
  return { ...network, dense: { ...dense, kernelCentres: await readKernelCentres(dense.graph, weightsFolder) } };
}

/** The sessions and the numbers of a network. */
export function finishNetwork(
  { manifest, folder, labels }: ModelFolder,
  network: Network,
  { load, ...computing }: Omit<CompileOptions, 'cache'>,
): CompiledModel {
  const { dense, nativeSize, parameters, output, activation, weightsDigest } = network;
  const { temperature = 1 } = manifest;
  // What a version is called besides changes no answer.
  const { versionLabels: _, ...answering } = manifest;
  const digest = createHash('sha256')
    .update(JSON.stringify([answering, labels, weightsDigest]))
    .digest('hex');
  const id = `${manifest.name}@${manifest.version}#${digest.slice(0, 8)}.${load}`;
  const write = sessionWriter(network, { id, preprocessing: preprocessingOf(manifest, network) });
  const { precision, isAskedFor } = choosePrecision(manifest, computing);
  const half = halfForm(precision);
  const serve: SessionWriter = (view, net, options) => write(view, net, { ...options, ...half });

  const multiplyAdds = multiplyAddCounter(network);
  const usual = pixelSize(manifest.input.size);
  const typical = (size: Size): NonNullable<SessionSpec['typical']> => ({
    feeds: { image: { type: 'uint8', dims: [size.height, size.width, 3] } },
    cost: multiplyAdds(size),
  });
  const fixed: View = {
    session: { ...serve('classify', network.classifier), typical: typical(usual) },
    multiplyAdds,
    peakBytes: peakByteCounter(network),
    pixelCost: 1,
    check: () => undefined,
  };
  const common = {
    manifest,
    folder,
    labels,
    digest,
    weights: new DigestedFiles(network.weightsFolder, network.weightsFiles),
    engine: computing.engine ?? DEFAULT_ENGINE.name,
    precision,
    parameters,
    output,
    conversion: { activation, temperature },
    nativeSize,
    ...(half !== undefined && {
      halfCheck: halfCheckOf(network, write, half, manifest.halfTolerance),
      isHalfAskedFor: isAskedFor,
    }),
  };
  if ('unavailable' in dense) {
    return { ...common, dense, classifier: fixed, classifyView: fixedSizeClassifier(manifest, network, fixed) };
  }

  const views = createDenseViews(dense, { name: manifest.name, nativeSize, temperature, session: serve });
  const { check } = views;
  // A net that pools a window of its map takes images below `minimumSize` by itself.
  const takes = memoizeBySize((input) => takesSize(network.classifier, input));
  const isSmall = ({ width, height }: Size): boolean => Math.min(width, height) < views.minimumSize;
  const isForClassifier = (input: Size): boolean =>
    dense.poolsGlobally || isSameSize(input, nativeSize) || (isSmall(input) && takes(input));
  const atNative: View = { ...fixed, session: { ...fixed.session, typical: typical(nativeSize) } };
  const classifier: View = { ...(isForClassifier(usual) ? fixed : atNative), ...(dense.poolsGlobally && { check }) };
  const scoring = serve('score', dense.graph, { ends: [averageClassMap()] });
  const score: View = {
    ...fixed,
    session: isForClassifier(usual) ? scoring : { ...scoring, typical: typical(usual) },
    check,
  };
  return {
    ...common,
    dense: views,
    classifier,
    classifyView: (input) => (isForClassifier(input) ? classifier : score),
    ...(network.original && { parityCheck: parityCheckOf(network.original, dense.graph, network, write) }),
  };
}

/** Chooses the loader by the manifest's architecture, which tells the format of the weights file. */
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

/** The view that classifies images of the model's own size: what most requests ask for. */
export function usualView({ classifyView, manifest }: Pick<CompiledModel, 'classifyView' | 'manifest'>): View {
  return classifyView(pixelSize(manifest.input.size));
}

/**
 * The model without its dense view, for a net whose dense view failed the check. It classifies by the file's own net,
 * at its native size only.
 */
export function withoutDense(model: CompiledModel, unavailable: string): CompiledModel {
  const { nativeSize, manifest, parityCheck } = model;
  const session = { ...(parityCheck?.original ?? model.classifier.session), id: model.classifier.session.id };
  const classifier = { ...model.classifier, session };
  return {
    ...model,
    // The file's own net is not narrowed.
    precision: model.halfCheck === undefined ? model.precision : 'fp32',
    dense: { unavailable },
    classifier,
    classifyView(input) {
      if (isSameSize(input, nativeSize)) return classifier;
      throw otherSize(manifest, nativeSize, input);
    },
  };
}

function checkDigest({ folder, manifest: { weights } }: ModelFolder, { fileDigest }: Network): void {
  if (weights.sha256 === undefined || weights.sha256 === fileDigest) return;
  const detail = `is ${fileDigest}, but the manifest says ${weights.sha256}`;
  throw new ModelFileError(join(folder, weights.file), 'sha256', detail);
}

/** Refuses a manifest that says `int8` of a net without quantized values, or `fp16` of a net with them. */
function checkPrecision({ folder, manifest: { precision } }: ModelFolder, { classifier }: Network): void {
  const isQuantized = classifier.nodes.some(({ op }) => op === 'QuantizeLinear');
  const fail = (detail: string): ModelFileError => new ModelFileError(join(folder, MANIFEST_FILE), 'precision', detail);
  if (precision === 'int8' && !isQuantized) {
    throw fail('is int8, but the net has no quantized values; make a quantized model with fullconv quantize');
  }
  if (precision === 'fp16' && isQuantized) throw fail('is fp16, but the net computes in 8-bit integers');
}

/** Refuses a preset that does not say what the net's channels are. */
function checkChannels({ folder, manifest: { input } }: ModelFolder, { classifier, takesPixels }: Network): void {
  const isGrey = classifier.inputs[0]!.dims[1] === 1;
  const isNormalized = input.mean.some((mean) => mean !== 0) || input.std.some((std) => std !== 1);
  const fail = (field: string, detail: string): ModelFileError =>
    new ModelFileError(join(folder, MANIFEST_FILE), `input.${field}`, detail);
  if (takesPixels && isNormalized) {
    throw fail('mean', 'must be 0, and std 1: the net takes pixels as they are, whole numbers from 0 to 255');
  }
  if (!isGrey && input.channels === 'GRAY') throw fail('channels', 'is GRAY, but the net takes three channels');
  for (const field of ['mean', 'std'] as const) {
    if (isGrey && new Set(input[field]).size > 1) throw fail(field, 'must be one number: the net takes one channel');
    if (!isGrey && input[field].length !== 3) throw fail(field, 'must be three numbers: the net takes three channels');
  }
}

/** How pixels become the net's input: as the manifest says, or as they are. */
export function preprocessingOf({ input }: Manifest, { takesPixels = false }: Network): ImagePreprocessing {
  return takesPixels ? { channels: input.channels, range: 1, mean: [0], std: [1] } : input;
}

/** Refuses an input size that a net of one fixed size does not take. */
function checkSize(folder: string, { input }: Manifest, { classifier, dense, nativeSize }: Network): void {
  const size = pixelSize(input.size);
  if (isSameSize(size, nativeSize) || 'graph' in dense || takesSize(classifier, size)) return;
  throw new ModelFileError(
    join(folder, MANIFEST_FILE),
    'input.size',
    `must be ${statedSize(nativeSize)}: the net takes no other size`,
  );
}

/** The view of a net without a dense form; it may still take other sizes by its own global pooling. */
function fixedSizeClassifier(
  manifest: Manifest,
  { classifier, nativeSize }: Network,
  view: View,
): (input: Size) => View {
  const takes = memoizeBySize((input) => takesSize(classifier, input));
  return (input) => {
    if (isSameSize(input, nativeSize) || takes(input)) return view;
    throw otherSize(manifest, nativeSize, input);
  };
}

function otherSize({ name }: Manifest, nativeSize: Size, { width, height }: Size): ServiceError {
  const native = `${nativeSize.width}×${nativeSize.height}`;
  const short = Math.min(nativeSize.width, nativeSize.height);
  return new ServiceError(
    'OUTPUT_UNSUPPORTED',
    `${name} classifies only inputs of ${native} pixels; this one would be ${width}×${height}.`,
    { errors: [{ parameter: 'size', detail: `must be ${short}, with fit=crop or fit=stretch` }] },
  );
}

/** Whether the classifier itself takes this size, by its own pooling: its logits then have their usual shape. */
function takesSize(classifier: Graph, input: Size): boolean {
  try {
    const logits = inferShapes(classifier, imageShapes(classifier, { batch: 1, ...input })).get(LOGITS);
    const [, channels, ...size] = classifier.inputs[0]!.dims;
    const isFree = typeof channels === 'number' && size.every((dim) => typeof dim === 'string');
    return isFree && logits?.length === 2 && logits[0] === 1 && logits[1] === classifier.outputs[0]!.dims[1];
  } catch (error) {
    if (error instanceof GraphError) return false;
    throw error;
  }
}

/** Multiply-adds by input size. If the shapes are unknown, the number of parameters stands in for them. */
export function multiplyAddCounter({
  classifier,
  dense,
  parameters,
}: Pick<Network, 'classifier' | 'dense' | 'parameters'>): (input: Size) => number {
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

/** Bytes of activations by input size; 0 if the shapes are unknown. */
export function peakByteCounter({ classifier, dense }: Pick<Network, 'classifier' | 'dense'>): (input: Size) => number {
  const graph = 'graph' in dense ? dense.graph : classifier;
  return memoizeBySize((input) => {
    try {
      return 4 * countPeakValues(graph, inferShapes(graph, imageShapes(graph, { batch: 1, ...input })));
    } catch (error) {
      if (error instanceof GraphError) return 0;
      throw error;
    }
  });
}
