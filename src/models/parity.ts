/**
 * Proof at load that a converted net computes what its file computes, and one in half precision what it computes in single:
 * both are run on fixed pseudo-random images of the native size, and the logits must be the same up to rounding. What was
 * measured is kept in the cache by digest, so that it is paid for once.
 */
import { join } from 'node:path';
import { keepJson, readKept } from '../files.js';
import { LARGEST_HALF } from '../graph/passes/narrow-to-half.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { LARGEST_WEIGHTS } from '../graph/passes/report-weights.js';
import { DEFAULT_ENGINE, platformOf } from '../runtime/engines.js';
import type { SessionSpec } from '../runtime/session.js';
import { elementCount, expectTensor, type Tensor, type TensorMap } from '../tensor.js';
import { withoutDense, type CompiledModel, type ParityCheck } from './compile.js';
import { generatedUniform } from './networks/generated-weights.js';
import type { SessionOpener } from './loaded-model.js';
import { MANIFEST_FILE } from './manifest.js';
import { ModelFileError } from './files/model-file-error.js';

/** What the proof needs of the engine room. */
export interface SessionRunner extends SessionOpener {
  /** Engine and kind of device, as the name of a folder: what is measured holds there. Default: `onnxruntime-cpu`. */
  readonly platform?: string;
  /** Run an open session for one image: tensors without the batch, in and out. */
  run(id: string, feeds: TensorMap): Promise<TensorMap>;
}

export interface Parity {
  /** Largest absolute difference of a logit. */
  readonly difference: number;
  /** Largest absolute logit of the original. */
  readonly largest: number;
  /** Of a net in half precision: a weight that is infinite there. */
  readonly infinite?: string;
}

const STANDARD_PLATFORM = platformOf(DEFAULT_ENGINE, 'cpu');
const IMAGES = ['parity-0', 'parity-1'];

/**
 * The measured parity, from the cache where it is there; undefined when the engine cannot open or run the converted net.
 * Rejects when it cannot do so with the original.
 */
export async function measureParity(
  check: ParityCheck,
  sessions: SessionRunner,
  cache: string,
): Promise<Parity | undefined> {
  const { platform } = sessions;
  const known = await knownParity(check, cache, platform);
  if (known !== undefined) return known;
  const images = IMAGES.map((seed) => randomImage(seed, check.nativeSize));
  // Both of these go again at once; and what the engine's optimizations do wrong must not be done to both.
  const expected = await outputsOf({ ...check.original, asWritten: check.asWritten }, images, sessions);
  const actual = await outputsOf(check.converted, images, sessions).catch(() => undefined);
  if (actual === undefined) return undefined;
  const infinite = infiniteWeight(check, actual[0]!);
  const parity = { ...compare(expected.map(logits), actual.map(logits)), ...(infinite !== undefined && { infinite }) };
  await keepParity(fileOf(check, cache, platform), parity);
  return parity;
}

/** What was measured before; undefined where nothing was. */
export function knownParity(check: ParityCheck, cache: string, platform?: string): Promise<Parity | undefined> {
  return readKept(fileOf(check, cache, platform), parityOf);
}

/** What one engine computes on one kind of device says nothing of another. */
function fileOf({ digest }: ParityCheck, cache: string, platform = STANDARD_PLATFORM): string {
  return join(cache, 'parity', platform, `${digest}.json`);
}

/** The model as far as its measured parity allows it to be trusted: with its dense view, or without and with the reason. */
export function trusted(model: CompiledModel, check: ParityCheck, parity: Parity | undefined): CompiledModel {
  if (parity === undefined) return withoutDense(model, 'the engine does not run its convolutional form');
  const deviation = parity.largest === 0 ? 0 : parity.difference / parity.largest;
  if (isWithin(parity, check.tolerance)) return { ...model, deviation };
  const [difference, largest] = [parity.difference, parity.largest].map((value) => value.toPrecision(3));
  return withoutDense(
    model,
    `converted, its logits differ by ${difference ?? ''} from those of the file, whose largest is ${largest ?? ''}`,
  );
}

/** Throws ModelFileError with the reason where a model may not be computed in half precision. */
export function refuseUnlessHalf(folder: string, check: ParityCheck, { difference, largest, infinite }: Parity): void {
  const refuse = (detail: string): ModelFileError =>
    new ModelFileError(join(folder, MANIFEST_FILE), 'precision', `is fp16, but in half precision ${detail}`);
  if (infinite !== undefined) throw refuse(`the weight "${infinite}" would be infinite: it ends at ${LARGEST_HALF}`);
  if (Number.isNaN(difference) || difference === Infinity) {
    throw refuse(`the logits are no numbers: values of the net go beyond ${LARGEST_HALF}`);
  }
  if (isWithin({ difference, largest }, check.tolerance)) return;
  const figures = [difference, largest].map((value) => value.toPrecision(3));
  throw refuse(`the logits differ by ${figures[0]}, of ${figures[1]} at most: more than ${100 * check.tolerance} %`);
}

/** Whether the difference is rounding. Not a number never is. */
function isWithin({ difference, largest }: Parity, tolerance: number): boolean {
  return difference <= tolerance * largest;
}

/** What a session answers to each image. It is not worth keeping. */
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

/** The name of the first weight that is infinite, without what narrow-to-half.ts added to it. */
function infiniteWeight({ weights = [] }: ParityCheck, outputs: TensorMap): string | undefined {
  if (weights.length === 0) return undefined;
  const index = expectTensor(outputs, LARGEST_WEIGHTS, 'float32').data.findIndex((value) => !Number.isFinite(value));
  return weights[index]?.replace(/\.half(_\d+)?$/, '');
}

function compare(expected: readonly Float32Array[], actual: readonly Float32Array[]): Parity {
  let [difference, largest] = [0, 0];
  for (const [image, logits] of expected.entries()) {
    for (const [index, value] of logits.entries()) {
      // Math.max keeps NaN.
      difference = Math.max(difference, Math.abs(value - (actual[image]?.[index] ?? NaN)));
      largest = Math.max(largest, Math.abs(value));
    }
  }
  return { difference, largest };
}

/** Noise, uint8 [size, size, 3]. */
function randomImage(seed: string, size: number): Tensor<'uint8'> {
  const dims = [size, size, 3];
  const data = Uint8Array.from(generatedUniform(seed, elementCount(dims)), (u) => Math.floor(128 + 127 * u));
  return { type: 'uint8', dims, data };
}

function parityOf(json: unknown): Parity | undefined {
  const { difference, largest } = json as Partial<Parity>;
  return typeof difference === 'number' && typeof largest === 'number' ? { difference, largest } : undefined;
}

/** NaN is not JSON and not kept, nor is a weight's name. */
async function keepParity(file: string, parity: Parity): Promise<void> {
  if (Object.values(parity).every((value) => Number.isFinite(value))) await keepJson(file, parity);
}
