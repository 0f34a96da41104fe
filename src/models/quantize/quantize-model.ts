/**
 * Quantizes a model to 8-bit integers. The result is a separate model folder with an ONNX file. It is served without
 * its calibration images, and gets a class map like any other ONNX file.
 *
 * The measurement on the images is kept in the cache by the digest of weights, images and everything else it depends
 * on. The figures tell how far the answers changed; the caller refuses a network that changed too much.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { OperatorError } from '../../errors.js';
import { keepJson, readKept } from '../../files.js';
import { countMultiplyAdds, multiplyAddsOf } from '../../graph/cost.js';
import type { Graph } from '../../graph/graph.js';
import { nativeShapes, type NativeSize } from '../../graph/native-shapes.js';
import { writeOnnx } from '../../graph/onnx/model.js';
import { applyPasses, applyWhereMatching } from '../../graph/pass.js';
import { addImageInput } from '../../graph/passes/add-image-input.js';
import { foldBatchNorm } from '../../graph/passes/fold-batch-norm.js';
import { liftConstants } from '../../graph/passes/lift-constants.js';
import { LOGITS } from '../../graph/passes/name-logits.js';
import { quantizeNetwork } from '../../graph/passes/quantize-network.js';
import type { ValueRange } from '../../graph/quantization.js';
import { isWeighted, planQuantization, type QuantizationPlan } from '../../graph/quantization-plan.js';
import { expectTensor } from '../../tensor.js';
import { DigestedFiles } from '../files/file-access.js';
import type { ModelFolder, QuantizationFigures } from '../manifest.js';
import { preprocessingOf } from '../compile.js';
import type { Manifest } from '../manifest.js';
import type { Network } from '../networks/network.js';
import { calibrate, type CalibrationImages } from './calibrate.js';
import type { Activation } from '../../maps/scores.js';
import type { Clipping } from './clipping.js';
import { gatherWeights, type ConstantRunner } from './gather-weights.js';

export interface QuantizeOptions {
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  readonly images: CalibrationImages;
  readonly runner: ConstantRunner;
  /** Default: `error`, which loses least. */
  readonly clipping?: Clipping;
}

export interface QuantizedModel {
  /** The complete ONNX file. */
  readonly bytes: Uint8Array;
  /** How photos are prepared for it. */
  readonly input: Manifest['input'];
  /** What makes probabilities of its logits; the file itself does not tell. */
  readonly activation: Activation;
  readonly figures: QuantizationFigures;
  /** Fraction of the multiply-adds that are computed in integers, at the native size. */
  readonly integerPart: number;
}

/** Version of the arithmetic here. Increment it whenever results change, so that old measurements are not reused. */
const VERSION = 1;

/** Fewer images say too little about the range of values. */
export const FEWEST_IMAGES = 16;

/** The last layer, which gives the answer, stays in float unless it takes more than this fraction of the work. */
const LARGE_HEAD = 0.1;

/** The measurement on the images. */
interface Measured {
  readonly ranges: ReadonlyMap<string, ValueRange>;
  readonly figures: QuantizationFigures;
}

/** Quantize a network. Throws OperatorError if it has nothing to quantize, or if there are too few images. */
export async function quantizeModel(
  { manifest }: ModelFolder,
  network: Network,
  { cache, images, runner, clipping = 'error' }: QuantizeOptions,
): Promise<QuantizedModel> {
  if (images.count < FEWEST_IMAGES) {
    throw new OperatorError(
      `${images.count} images are too few to calibrate with; at least ${FEWEST_IMAGES} are needed`,
    );
  }
  const { classifier, weightsFolder, nativeSize } = network;
  const folded = applyWhereMatching(classifier, [liftConstants(), foldBatchNorm()]);
  const gathered = await gatherWeights(folded, weightsFolder, runner);
  const plan = planFor(gathered, nativeSize);
  if (plan.nodes.size === 0) {
    throw new OperatorError(`${manifest.name} has no convolution or fully connected layer whose weights are constant`);
  }
  const quantizeBy = (ranges: ReadonlyMap<string, ValueRange>): Graph =>
    applyPasses(gathered, [quantizeNetwork(plan, ranges)]);

  const observed = [...new Set(plan.values.values())];
  const key = [VERSION, network.weightsDigest, manifest.input, nativeSize, images.digest, clipping, observed];
  const file = join(cache, 'quantization', `${createHash('sha256').update(JSON.stringify(key)).digest('hex')}.json`);
  const measure = async (): Promise<Measured> => {
    const options = { preprocessing: preprocessingOf(manifest, network), weightsFolder, clipping };
    const ranges = await calibrate(folded, observed, images, options);
    const asRun = (graph: Graph): Uint8Array =>
      writeOnnx(applyPasses(graph, [addImageInput(preprocessingOf(manifest, network))]));
    const expected = await logitsOf(asRun(classifier), weightsFolder, images);
    const actual = await logitsOf(asRun(quantizeBy(ranges)), weightsFolder, images);
    return { ranges, figures: compare(expected, actual) };
  };
  const known = await readKept(file, measuredOf);
  const { ranges, figures } = known ?? (await measure());
  const changed = await new DigestedFiles(weightsFolder, network.weightsFiles).findChanged();
  if (changed !== undefined) throw changed;
  if (known === undefined) await keepJson(file, { ranges: [...ranges], figures });
  return {
    bytes: writeOnnx(quantizeBy(ranges)),
    // Pixels as they are: the file no longer says so by its input's type.
    input: network.takesPixels === true ? { ...manifest.input, range: 1 } : manifest.input,
    activation: network.activation,
    figures,
    integerPart: integerPart(gathered, plan, nativeSize),
  };
}

/** The plan leaves out the last layer unless it is much of the work, like SqueezeNet's convolution to the classes. */
function planFor(graph: Graph, nativeSize: NativeSize): QuantizationPlan {
  const last = graph.nodes.findLast((node) => isWeighted(node, graph));
  const shapes = nativeShapes(graph, nativeSize);
  const isLarge = last !== undefined && multiplyAddsOf(last, shapes) > LARGE_HEAD * countMultiplyAdds(graph, shapes);
  return planQuantization(graph, new Set(last === undefined || isLarge ? [] : [last.name]));
}

function integerPart(graph: Graph, { nodes }: QuantizationPlan, nativeSize: NativeSize): number {
  const shapes = nativeShapes(graph, nativeSize);
  const integers = graph.nodes.filter((node) => nodes.has(node));
  return countMultiplyAdds({ ...graph, nodes: integers }, shapes) / countMultiplyAdds(graph, shapes);
}

async function logitsOf(
  model: Uint8Array,
  weightsFolder: string,
  images: CalibrationImages,
): Promise<readonly Float32Array[]> {
  const logits: Float32Array[] = [];
  await images.run({ id: 'compare', model, weightsFolder }, (outputs, image) => {
    logits[image] = expectTensor(outputs, LOGITS, 'float32').data;
  });
  return logits;
}

function compare(expected: readonly Float32Array[], actual: readonly Float32Array[]): QuantizationFigures {
  let [same, difference, magnitude] = [0, 0, 0];
  for (const [image, logits] of expected.entries()) {
    const others = actual[image]!;
    if (best(logits) === best(others)) same += 1;
    for (const [index, value] of logits.entries()) {
      difference += Math.abs(value - others[index]!);
      magnitude += Math.abs(value);
    }
  }
  const images = expected.length;
  return { images, agreement: same / images, logitError: magnitude === 0 ? 0 : difference / magnitude };
}

function best(logits: Float32Array): number {
  return logits.reduce((most, value, index) => (value > logits[most]! ? index : most), 0);
}

/** Reads a kept measurement. Throws if the JSON has another form. */
function measuredOf(json: unknown): Measured {
  const { ranges, figures } = json as { ranges: [string, ValueRange][]; figures: QuantizationFigures };
  return { ranges: new Map(ranges), figures };
}
