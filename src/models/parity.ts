/**
 * Checks at load that a converted net gives the logits of its file, and a net in half precision those of single
 * precision. Both run on fixed pseudo-random images of the native size, and their logits must be the same up to
 * rounding. The measurement is kept in the cache by digest, so that its cost is paid once.
 */
import { join } from 'node:path';
import { keepJson, readKept } from '../files.js';
import { LARGEST_HALF } from '../graph/passes/narrow-to-half.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { LARGEST_WEIGHTS } from '../graph/passes/report-weights.js';
import { DEFAULT_ENGINE, platformOf } from '../runtime/engines.js';
import type { SessionSpec } from '../runtime/session.js';
import { elementCount, expectTensor, type Tensor, type TensorMap } from '../tensor.js';
import { withoutDense, type CompiledModel } from './compile.js';
import { TOLERANCE, type ParityCheck } from './parity-check.js';
import { eachRange } from '../maps/steps.js';
import { inTurns } from '../turns.js';
import { generatedUniform } from './networks/generated-weights.js';
import type { SessionOpener } from './loaded-model.js';
import type { Size } from './input-size.js';
import { MANIFEST_FILE, type Precision } from './manifest.js';

/** The part of the worker pool that the check uses. */
export interface SessionRunner extends SessionOpener {
  /**
   * Engine and kind of device, as a folder's name: measurements are valid only for these. Default: `onnxruntime-cpu`.
   */
  readonly platform?: string;
  /** Whether factors are rounded there in single precision too (engine-description.ts). Default: false. */
  readonly roundsFactors?: boolean;
  /** Run an open session for one image; feeds and outputs lack the batch axis. */
  run(id: string, feeds: TensorMap): Promise<TensorMap>;
}

export interface Parity {
  /** Largest absolute difference of a logit. */
  readonly difference: number;
  /** Largest absolute logit of the original. */
  readonly largest: number;
  /** Smallest logit of the original. */
  readonly lowest?: number;
  /** Present if a net in half precision has an infinite weight: its name. */
  readonly infinite?: string;
}

const STANDARD_PLATFORM = platformOf(DEFAULT_ENGINE, 'cpu');
const IMAGES = ['parity-0', 'parity-1'];

/**
 * The parity, from the cache or measured now; undefined if the engine cannot open or run the converted net. Rejects if
 * it cannot open or run the original.
 */
export async function measureParity(
  check: ParityCheck,
  sessions: SessionRunner,
  cache: string,
): Promise<Parity | undefined> {
  const { platform } = sessions;
  const known = await knownParity(check, cache, platform);
  if (known !== undefined) return known;
  const images = await randomImages(check.nativeSize);
  // Both sessions are closed right after their runs. The original may run as written, so that a fault of the engine's
  // optimizations does not hit both.
  const expected = await outputsOf({ ...check.original, asWritten: check.asWritten }, images, sessions);
  const actual = await outputsOf(check.converted, images, sessions).catch(() => undefined);
  if (actual === undefined) return undefined;
  const infinite = infiniteWeight(check, actual[0]!);
  const parity = { ...compare(expected.map(logits), actual.map(logits)), ...(infinite !== undefined && { infinite }) };
  await keepParity(fileOf(check, cache, platform), parity);
  return parity;
}

/** The parity measured earlier; undefined if there is none. */
export function knownParity(check: ParityCheck, cache: string, platform?: string): Promise<Parity | undefined> {
  return readKept(fileOf(check, cache, platform), parityOf);
}

/** A measurement is kept per platform, because it holds only for that engine and kind of device. */
function fileOf({ digest }: ParityCheck, cache: string, platform = STANDARD_PLATFORM): string {
  return join(cache, 'parity', platform, `${digest}.json`);
}

/**
 * The model with its dense view if the parity allows it, otherwise without it and with the reason. A device that rounds factors as
 * half precision does gets the tolerance of half precision: ResNet-18 and VGG-16 differ by 1.2 and 2.5 · 10⁻³ in TF32.
 */
export function trusted(
  model: CompiledModel,
  check: ParityCheck,
  parity: Parity | undefined,
  { roundsFactors = false }: Pick<SessionRunner, 'roundsFactors'> = {},
): CompiledModel {
  if (parity === undefined) return withoutDense(model, 'the engine cannot run its convolutional form');
  const deviation = parity.largest === 0 ? 0 : parity.difference / parity.largest;
  if (isWithin(parity, roundsFactors ? Math.max(check.tolerance, TOLERANCE.float16) : check.tolerance))
    return { ...model, deviation };
  const [difference, largest] = [parity.difference, parity.largest].map((value) => value.toPrecision(3));
  return withoutDense(
    model,
    `after conversion its logits differ by ${difference ?? ''} from the file's, whose largest is ${largest ?? ''}`,
  );
}

/** The logits of a model that has nothing to be compared with, on the same images; undefined if the engine cannot run it. */
export async function measureLogits(
  { classifier, nativeSize }: CompiledModel,
  sessions: SessionRunner,
): Promise<Pick<Parity, 'lowest' | 'largest'> | undefined> {
  const images = await randomImages(nativeSize);
  const outputs = await outputsOf(classifier.session, images, sessions).catch(() => undefined);
  const all = outputs?.map(logits);
  return all && compare(all, all);
}

/**
 * Why the numbers that are taken for logits may be none: all of them lie between 0 and 1. Undefined where there is no such doubt, or
 * the manifest says that they are logits.
 */
export function doubtOf(
  { output, manifest }: CompiledModel,
  { lowest, largest }: Pick<Parity, 'lowest' | 'largest'>,
): string | undefined {
  if (output !== 'logits' || manifest.output !== undefined) return undefined;
  if (lowest === undefined || lowest < 0 || largest > 1) return undefined;
  const [from, to] = [lowest, largest].map((value) => value.toPrecision(3));
  return (
    `its numbers are taken for logits, but on two images of noise all lie between ${from} and ${to}, as probabilities do; ` +
    `"output" in ${MANIFEST_FILE} says what they are: logits, probabilities or sigmoid`
  );
}

/** Why a model may not be computed in half precision, e.g. `fp16, but in half precision …`; undefined if it may. */
export function whyNotHalf(
  precision: Precision,
  check: ParityCheck,
  { difference, largest, infinite }: Parity,
): string | undefined {
  const because = (detail: string): string => `${precision}, but in half precision ${detail}`;
  if (infinite !== undefined) return because(`the weight "${infinite}" would be infinite: it exceeds ${LARGEST_HALF}`);
  if (Number.isNaN(difference) || difference === Infinity) {
    // bfloat16 has the range of single precision.
    return because(
      `the logits are not finite${precision === 'fp16' ? `: values of the net exceed ${LARGEST_HALF}` : ''}`,
    );
  }
  if (isWithin({ difference, largest }, check.tolerance)) return undefined;
  const figures = [difference, largest].map((value) => value.toPrecision(3));
  return because(`the logits differ by ${figures[0]}, over ${100 * check.tolerance} % of the largest, ${figures[1]}`);
}

/** Whether the difference may be rounding. False for NaN. */
function isWithin({ difference, largest }: Parity, tolerance: number): boolean {
  return difference <= tolerance * largest;
}

/**
 * A session's outputs for each image. The session has no digest, because the engine need not keep a compiled form of
 * it.
 */
async function outputsOf(
  { digest: _, ...spec }: SessionSpec,
  images: readonly Tensor<'uint8'>[],
  sessions: SessionRunner,
): Promise<readonly TensorMap[]> {
  await sessions.open(spec);
  try {
    const outputs: TensorMap[] = [];
    for (const image of images) {
      outputs.push(await sessions.run(spec.id, { image: { ...image, data: image.data.slice() } }));
    }
    return outputs;
  } finally {
    await sessions.close(spec.id);
  }
}

function logits(outputs: TensorMap): Float32Array {
  return expectTensor(outputs, LOGITS, 'float32').data;
}

/** The name of the first infinite weight, without the suffix added by narrow-to-half.ts. */
function infiniteWeight({ weights = [] }: ParityCheck, outputs: TensorMap): string | undefined {
  if (weights.length === 0) return undefined;
  const index = expectTensor(outputs, LARGEST_WEIGHTS, 'float32').data.findIndex((value) => !Number.isFinite(value));
  return weights[index]?.replace(/\.half(_\d+)?$/, '');
}

function compare(expected: readonly Float32Array[], actual: readonly Float32Array[]): Parity {
  let [difference, largest, lowest] = [0, 0, Infinity];
  for (const [image, logits] of expected.entries()) {
    for (const [index, value] of logits.entries()) {
      // NaN must survive: Math.max returns it.
      difference = Math.max(difference, Math.abs(value - (actual[image]?.[index] ?? NaN)));
      largest = Math.max(largest, Math.abs(value));
      lowest = Math.min(lowest, value);
    }
  }
  return { difference, largest, lowest };
}

/** Uniform noise, uint8 [height, width, 3] each. */
async function randomImages({ width, height }: Size): Promise<Tensor<'uint8'>[]> {
  const dims = [height, width, 3];
  const images = IMAGES.map((seed) => ({ seed, data: new Uint8Array(elementCount(dims)) }));
  for (const { seed, data } of images) {
    const fill = (from: number, end: number): void =>
      generatedUniform(seed, end - from, from).forEach((u, index) => (data[from + index] = Math.floor(128 + 127 * u)));
    await inTurns(eachRange(data.length, fill));
  }
  return images.map(({ data }) => ({ type: 'uint8', dims, data }));
}

function parityOf(json: unknown): Parity | undefined {
  const { difference, largest, lowest } = json as Partial<Parity>;
  if (typeof difference !== 'number' || typeof largest !== 'number') return undefined;
  return { difference, largest, ...(typeof lowest === 'number' && { lowest }) };
}

/** Keep only finite measurements: JSON has no NaN. A result with an infinite weight is not kept either. */
async function keepParity(file: string, parity: Parity): Promise<void> {
  if (Object.values(parity).every((value) => Number.isFinite(value))) await keepJson(file, parity);
}
