/**
 * Small passes bring any classifier's graph to the forms that the convolutionalizing passes know. A graph that they
 * cannot bring there still classifies, exactly as its file computes, and tells why it has no class map.
 *
 * The order: unique names, constants to initializers, one image input, one output (the original: the file's computation
 * without its softmax or sigmoid) → single precision, opset 18, one kind of head, padding of the native size, free sizes (the
 * classifier) → class map.
 */
import { OPSET } from '../../graph/build.js';
import { tailOf } from '../../graph/classifier-head.js';
import { countParameters } from '../../graph/cost.js';
import { mapGeometry } from '../../graph/geometry.js';
import type { Dim, Graph, ValueInfo } from '../../graph/graph.js';
import { GraphError, nodeError } from '../../graph/graph-error.js';
import { imageShapes, nativeShapes, type NativeSize } from '../../graph/native-shapes.js';
import { applyPass, applyPasses, applyWhereMatching, type Pass } from '../../graph/pass.js';
import { absorbDequantizedWeights } from '../../graph/passes/absorb-dequantized-weights.js';
import { castBorders } from '../../graph/passes/cast-borders.js';
import { CLASS_MAP, convolutionalizeGemm } from '../../graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../../graph/passes/convolutionalize-global-pool.js';
import { dropIdentities } from '../../graph/passes/drop-identities.js';
import { dropIdentityCasts } from '../../graph/passes/drop-identity-casts.js';
import { dropOutputCast } from '../../graph/passes/drop-output-cast.js';
import {
  dropOutputActivation,
  outputActivation,
  type OutputActivation,
} from '../../graph/passes/drop-output-activation.js';
import { flattenHead } from '../../graph/passes/flatten-head.js';
import { foldSizes } from '../../graph/passes/fold-sizes.js';
import { foldWeightViews } from '../../graph/passes/fold-weight-views.js';
import { freeSizes } from '../../graph/passes/free-sizes.js';
import { giveLogits } from '../../graph/passes/give-logits.js';
import { giveTwoClasses } from '../../graph/passes/give-two-classes.js';
import { keepOutput } from '../../graph/passes/keep-output.js';
import { keepPaddingApart } from '../../graph/passes/keep-padding-apart.js';
import { liftConstants } from '../../graph/passes/lift-constants.js';
import { mergeActivations } from '../../graph/passes/merge-activations.js';
import { mergeMatMulAdd } from '../../graph/passes/merge-matmul-add.js';
import { LOGITS, nameLogits } from '../../graph/passes/name-logits.js';
import { pickShuffledChannels } from '../../graph/passes/pick-shuffled-channels.js';
import { raiseOpset } from '../../graph/passes/raise-opset.js';
import { reorderFlattenedWeight } from '../../graph/passes/reorder-flattened-weight.js';
import { reserveNames } from '../../graph/passes/reserve-names.js';
import { resolveAutoPadding } from '../../graph/passes/resolve-auto-padding.js';
import { spreadHead } from '../../graph/passes/spread-head.js';
import { skipIdleViews } from '../../graph/passes/skip-idle-views.js';
import { takeOneImage } from '../../graph/passes/take-one-image.js';
import { takePlanarInput } from '../../graph/passes/take-planar-input.js';
import { transposeGemmWeight } from '../../graph/passes/transpose-gemm-weight.js';
import { undoStridedViews } from '../../graph/passes/undo-strided-views.js';
import { unifyGlobalPool } from '../../graph/passes/unify-global-pool.js';
import { widenHalf } from '../../graph/passes/widen-half.js';
import { inferShapes } from '../../graph/shapes.js';
import { sizeStepOf, whyNoStep } from '../../graph/size-step.js';
import { elementCount } from '../../tensor.js';
import type { PixelSize } from '../../maps/input-plan.js';
import { MAX_INPUT_SIDE } from '../input-size.js';
import type { Activation } from '../../maps/scores.js';
import type { ConvolutionalNet, Network, OutputKind, Unavailable } from './network.js';

/** Limit for the elements of a value, far above any real classifier. */
const MAX_ELEMENTS = 2 ** 31;

/**
 * The classifier, its dense form and the original, from one graph. `size` is the native size if the graph leaves it
 * free, `stated` what its numbers are, if somebody knows. Throws GraphError if the graph is not an image classifier with
 * `classes` classes.
 */
export function importClassifier(
  graph: Graph,
  {
    size,
    classes,
    stated,
  }: { readonly size: NativeSize; readonly classes: number; readonly stated?: OutputKind | undefined },
): Omit<Network, 'fileDigest' | 'weightsDigest' | 'weightsFolder' | 'weightsFiles'> {
  const prepared = applyWhereMatching(graph, [
    reserveNames(),
    takeOneImage('none'),
    liftConstants(),
    foldSizes(),
    absorbDequantizedWeights(),
    keepPaddingApart(),
    takePlanarInput(),
  ]);
  const withImage = checkInput(prepared);
  const nativeSize = sizeOf(withImage, size);
  const output = findOutput(withImage, nativeSize, classes);
  const complete = applyWhereMatching(withImage, [
    keepOutput(output),
    undoStridedViews(nativeSize),
    dropIdentities(),
    mergeActivations(nativeSize),
  ]);
  const found = outputActivation(complete, nativeSize);
  const kind = outputKind(found, stated);
  const givesLogits = found === undefined || found === 'log-softmax';
  const bare = applyWhereMatching(complete, [
    ...(kind === 'logits' && !givesLogits ? [] : [dropOutputActivation(nativeSize)]),
    dropOutputCast(),
  ]);
  const shapes = nativeShapes(bare, nativeSize);
  checkElements(shapes);
  const rank = shapes.get(output)?.length ?? bare.outputs[0]!.dims.length;
  const numbers = elementCount((shapes.get(output) ?? [1, classes]).slice(rank > 1 ? 1 : 0));
  const isBinary = numbers === 1 && classes === 2;
  const original = applyPasses(bare, [
    nameLogits(isBinary ? 1 : classes, rank),
    ...(kind === 'probabilities' && found === undefined ? [giveLogits()] : []),
    ...(isBinary ? [giveTwoClasses()] : []),
  ]);

  const single = applyWhereMatching(original, [widenHalf(), dropIdentityCasts()]);
  const { classifier, dense } = convolutionalize(single, nativeSize);
  const withFloatBorders = (net: Graph): Graph => applyWhereMatching(net, [castBorders()]);
  return {
    classifier: withFloatBorders(classifier),
    dense: 'graph' in dense ? { ...dense, graph: withFloatBorders(dense.graph) } : dense,
    nativeSize,
    ...(original.inputs[0]!.dataType.includes('int') && { takesPixels: true }),
    parameters: countParameters(classifier),
    output: kind,
    activation: isBinary ? 'softmax' : activationOf(kind, found, classes),
    original: {
      graph: withFloatBorders(original),
      isHalf: applyPass(original, widenHalf()) !== undefined,
    },
  };
}

/** What the file's numbers are: what somebody states, else what the graph ends in. Throws GraphError where that cannot be. */
function outputKind(found: OutputActivation | undefined, stated: OutputKind | undefined): OutputKind {
  if (stated === 'probabilities' && found === 'log-softmax') {
    throw new GraphError(
      'its output is stated to be probabilities, but the net ends in a LogSoftmax, whose numbers are logits',
    );
  }
  if (stated === 'sigmoid' && found === 'softmax') {
    throw new GraphError('its output is stated to be a sigmoid of each class, but the net ends in a Softmax');
  }
  if (stated !== undefined) return stated;
  return found === 'softmax' ? 'probabilities' : found === 'sigmoid' ? 'sigmoid' : 'logits';
}

/** A single class is true or not by itself. */
function activationOf(kind: OutputKind, found: OutputActivation | undefined, classes: number): Activation {
  if (classes === 1 || kind === 'sigmoid') return 'sigmoid';
  return kind === 'probabilities' && found === 'sigmoid' ? 'sigmoid' : 'softmax';
}

/** The graph, if its only input is an image, with its channels declared: three where it leaves them free. */
function checkInput(graph: Graph): Graph {
  const [input, ...others] = graph.inputs;
  if (input === undefined) throw new GraphError('the graph has no input');
  if (others.length > 0) throw new GraphError(`input "${others[0]!.name}": the graph has more than one input`);
  const [, channels] = input.dims;
  const isImage = input.dims.length === 4 && (channels === 3 || channels === 1 || typeof channels === 'string');
  if (!isImage) {
    const declared = `[${input.dims.join(', ')}]`;
    const why = input.dims.length === 4 ? ', and pictures have three channels, or one' : '';
    throw new GraphError(`input "${input.name}": is ${declared}, not an image [N, 3, H, W] or [N, H, W, 3]${why}`);
  }
  const dims = input.dims.with(1, channels === 1 ? 1 : 3);
  return { ...graph, inputs: [{ ...input, dims }] };
}

/** The size that the input declares; where it is free, that of the manifest. Throws GraphError if it is too large. */
function sizeOf({ inputs: [input] }: Graph, given: NativeSize): PixelSize {
  const stated = typeof given === 'number' ? { height: given, width: given } : given;
  const [, , height, width] = input!.dims;
  const known = [height, width].find((dim) => typeof dim === 'number');
  // One fixed side of two is that of a square.
  const free = { height: known ?? stated.height, width: known ?? stated.width };
  const size = {
    height: typeof height === 'number' ? height : free.height,
    width: typeof width === 'number' ? width : free.width,
  };
  if (Math.max(size.height, size.width) > MAX_INPUT_SIDE) {
    throw new GraphError(
      `input "${input!.name}": takes images of ${size.width}×${size.height} pixels; a side may have at most ${MAX_INPUT_SIDE}`,
    );
  }
  return size;
}

/**
 * The name of the first output with one number for each class; if there is none, of the first that may stand for two classes, or of
 * the first of unknown size.
 */
function findOutput(graph: Graph, nativeSize: PixelSize, classes: number): string {
  const shapes = nativeShapes(graph, nativeSize);
  const known = ({ name, dims }: ValueInfo): readonly Dim[] => shapes.get(name) ?? dims;
  const ofNumbers = (count: number): ValueInfo | undefined =>
    graph.outputs.find((output) => {
      const dims = known(output);
      const ofImage = dims.length === 1 ? dims : dims.slice(1);
      return ofImage.every((dim) => typeof dim === 'number') && elementCount(ofImage) === count;
    });
  const found = ofNumbers(classes) ?? (classes === 2 ? ofNumbers(1) : undefined);
  const undeclared = graph.outputs.find((output) =>
    known(output)
      .slice(1)
      .some((dim) => typeof dim === 'string'),
  );
  const output = found ?? undeclared;
  if (output !== undefined) return output.name;
  const [first] = graph.outputs;
  throw new GraphError(`output "${first!.name}": is [${known(first!).join(', ')}], but there are ${classes} labels`);
}

function checkElements(shapes: ReadonlyMap<string, readonly number[]>): void {
  for (const [name, dims] of shapes) {
    const elements = elementCount(dims);
    if (!(elements <= MAX_ELEMENTS)) {
      throw new GraphError(
        `value "${name}": [${dims.join(', ')}] has ${elements} elements; at most ${MAX_ELEMENTS} are allowed`,
      );
    }
  }
}

function convolutionalize(
  original: Graph,
  nativeSize: PixelSize,
): { readonly classifier: Graph; readonly dense: ConvolutionalNet | Unavailable } {
  const raised = applyWhereMatching(original, [
    raiseOpset(nativeSize),
    foldWeightViews(nativeSize),
    pickShuffledChannels(nativeSize),
  ]);
  const headed = settle(raised, [
    skipIdleViews(nativeSize),
    mergeMatMulAdd(nativeSize),
    flattenHead(nativeSize),
    unifyGlobalPool(nativeSize),
    reorderFlattenedWeight(nativeSize),
    transposeGemmWeight(),
  ]);
  const freed = applyWhereMatching(headed, [
    resolveAutoPadding(nativeSize),
    freeSizes(nativeSize),
    foldSizes(nativeSize),
  ]);
  const bound = whyBound(freed, nativeSize);
  if (bound !== undefined) {
    const single = applyPass(original, takeOneImage('fixed')) ?? original;
    return { classifier: single, dense: { unavailable: bound } };
  }
  if (raised.opset < OPSET) {
    const unavailable = `the net has opset ${raised.opset}, and not all of it means the same in opset ${OPSET}`;
    return { classifier: applyWhereMatching(original, [freeSizes(nativeSize)]), dense: { unavailable } };
  }

  const pooled = applyPass(freed, convolutionalizeGlobalPool());
  const cells = attempt(() => spreadHead(freed, 'cells', nativeSize));
  const affine = pooled ?? ('result' in cells && cells.result.isAffine ? cells.result.graph : undefined);
  const spread = attempt(() => spreadHead(freed, 'windows', nativeSize));
  const candidates = [
    affine,
    applyPass(freed, convolutionalizeGemm(nativeSize)),
    'result' in spread ? spread.result.graph : undefined,
  ].filter((candidate) => candidate !== undefined);
  const reasons = candidates.map((candidate) => whyNoMap(candidate, nativeSize));
  const graph = candidates[reasons.indexOf(undefined)];
  if (graph === undefined) {
    const why = 'reason' in spread ? `${describeHead(freed)}: ${spread.reason}` : describeHead(freed);
    return { classifier: freed, dense: { unavailable: reasons[0] ?? why } };
  }
  const sizeStep = sizeStepOf(graph, nativeSize);
  if (sizeStep === undefined) {
    return { classifier: freed, dense: { unavailable: `${whyNoStep(graph, nativeSize)}; ${ANY_SIZE}` } };
  }
  const ofCells = affine === undefined && 'result' in cells ? cells.result.graph : undefined;
  const hasCells = ofCells !== undefined && whyNoMap(ofCells, nativeSize) === undefined;
  return {
    classifier: freed,
    dense: { graph, poolsGlobally: graph === affine, sizeStep, ...(hasCells && { cells: ofCells }) },
  };
}

function attempt<T>(make: () => T): { readonly result: T } | { readonly reason: string } {
  try {
    return { result: make() };
  } catch (error) {
    if (!(error instanceof GraphError)) throw error;
    return { reason: error.message };
  }
}

/** What would have to change, for people: a class map needs these. */
const ANY_BATCH = 'a class map needs a net that takes any number of images, by operators whose shapes are known';
const ANY_SIZE = 'a class map needs branches whose sizes agree at all multiples of 64 pixels, or of a divisor of 64';
const PLACES =
  'a class map needs layers that keep the places of their maps: convolutions, poolings, and what works at each place alone';

/** Why the freed graph does not take every batch size; undefined if it does. */
function whyBound(graph: Graph, nativeSize: PixelSize): string | undefined {
  const classes = graph.outputs[0]!.dims[1];
  return reasonOf(ANY_BATCH, () => {
    const shapesOf = (batch: number): Shapes => inferShapes(graph, imageShapes(graph, { batch, ...nativeSize }));
    const [one, two] = [shapesOf(1), shapesOf(2)];
    if (one.get(LOGITS)?.join() === `1,${classes}` && two.get(LOGITS)?.join() === `2,${classes}`) return;
    const isSame = (name: string): boolean => one.get(name)?.join() === two.get(name)?.join();
    const node = graph.nodes.findLast(
      ({ op, inputs, outputs }) => op !== 'Shape' && outputs.every(isSame) && !inputs.every(isSame),
    );
    if (node === undefined) throw new GraphError('the net does not give the scores of each image by themselves');
    throw nodeError(node, 'gives no more for two images than for one');
  });
}

type Shapes = ReturnType<typeof inferShapes>;

/** Why the convolutional graph has no class map for larger images; undefined if it has one. */
function whyNoMap(graph: Graph, nativeSize: PixelSize): string | undefined {
  return reasonOf(PLACES, () => {
    mapGeometry(graph, CLASS_MAP);
    for (const factor of [1, 2]) {
      const given = imageShapes(graph, { batch: 1, height: factor * nativeSize.height, width: nativeSize.width });
      const dims = inferShapes(graph, given).get(CLASS_MAP);
      if (dims?.length !== 4 || dims.includes(0)) throw new GraphError('its last value is not a map');
    }
  });
}

function reasonOf(needed: string, check: () => void): string | undefined {
  const checked = attempt(check);
  return 'reason' in checked ? `${checked.reason}; ${needed}` : undefined;
}

function describeHead(graph: Graph): string {
  const operators = tailOf(graph)
    .slice(0, 5)
    .map(({ op }) => op)
    .reverse();
  const heads = 'Flatten → Gemm, global pooling → Gemm (one or several), or a convolution → global average pooling';
  return `its head is not ${heads}; it ends in ${operators.join(' → ')}`;
}

/** Apply the passes again and again until none matches. It ends because each pass leaves fewer matches. */
function settle(graph: Graph, passes: readonly Pass[]): Graph {
  for (let current = graph; ;) {
    const next = applyWhereMatching(current, passes);
    if (next === current) return current;
    current = next;
  }
}
