/**
 * The key of an answer: SHA-256 over everything that decides it. Two questions have one key only if they are the same question of
 * the same images to the same model. What only decides when it is answered, deadline and priority, is not in it.
 *
 * The head is JSON, in which nothing can be taken for anything else, and each part has its length before it. So no two
 * sequences of parts are the same bytes.
 */
import { createHash } from 'node:crypto';
import { deviceName, type DeviceChoice } from '../device.js';
import type { Config } from '../config.js';
import type { ImageInput } from '../inference/infer.js';
import type { Steps } from '../maps/steps.js';
import type { CompiledModel } from '../models/compile.js';
import { inTurns } from '../turns.js';
import { VERSION } from '../version.js';

export interface KeyedQuestion {
  /** What is asked, e.g. `/v1/heatmap`. */
  readonly route: string;
  /** Of the answer. */
  readonly mediaType: string;
  readonly model: Pick<CompiledModel, 'digest' | 'engine' | 'precision'>;
  /** With all defaults, plain data. */
  readonly parameters: object;
  readonly images: readonly ImageInput[];
}

/** In base64url, 43 characters. Takes the event loop in turns. */
export type KeyOf = (question: KeyedQuestion) => Promise<string>;

/** What is the same for all answers of a server, and may be another after its next start. */
export interface KeySettings {
  readonly config: Pick<Config, 'background'>;
  readonly inputStep: number;
  readonly device: DeviceChoice;
}

/** Parameters that decide no answer, or stand in the key by what they lead to. */
const NOT_IN_IT: readonly string[] = ['model', 'version', 'priority', 'deadlineMs'];

/** Hashed at once: a fraction of a millisecond. */
const STEP_BYTES = 2 ** 18;

export function createKeyOf({ config: { background }, inputStep, device }: KeySettings): KeyOf {
  const server = [VERSION, background, inputStep, device.devices.map(deviceName)];
  return ({ route, mediaType, model: { digest, engine, precision }, parameters, images }) => {
    const head = JSON.stringify([
      ...[server, route, mediaType, digest, engine, precision, inOrder(parameters)],
      images.map(({ name, pixels }) => [name, pixels?.width ?? null, pixels?.height ?? null]),
    ]);
    return inTurns(digestOf([Buffer.from(head), ...images.map(({ bytes }) => bytes)]));
  };
}

function inOrder(parameters: object): readonly (readonly [string, unknown])[] {
  return Object.entries(parameters as Readonly<Record<string, unknown>>)
    .filter(([name, value]) => value !== undefined && !NOT_IN_IT.includes(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

function* digestOf(parts: readonly Uint8Array[]): Steps<string> {
  const hash = createHash('sha256');
  for (const part of parts) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(part.length));
    hash.update(length);
    for (let from = 0; from < part.length; from += STEP_BYTES) {
      hash.update(part.subarray(from, from + STEP_BYTES));
      yield;
    }
  }
  return hash.digest('base64url');
}
