/**
 * The messages between the server's own process and a process that works for it. The server asks, each question has a
 * number, and the process answers every question once. Everything is plain data (message-channel.ts): large arrays are
 * copied, so pixels never come to the server. A process that has others decode for it (decoders.ts) asks them in the same way.
 *
 * `Work` is one item of a batch, `Output` what becomes of it, `Job` anything else that is asked; what they are is not known
 * here (engine-process/main.ts, inference/work.ts).
 */
import { ERROR_TABLE, LIMITS, ServiceError, type ExceededLimit, type ParameterError } from '../errors.js';
import type { EngineName } from '../runtime/engines.js';
import type { EngineOptions, SessionSpec } from '../runtime/session.js';
import type { Restart } from './restart-policy.js';

/** How a process begins; its first argument, as JSON. */
export interface ProcessStart {
  /** The engine that it runs sessions with; absent: it runs none, and answers jobs. */
  readonly engine?: { readonly name: EngineName; readonly options: EngineOptions };
  /** Images it decodes at the same time. */
  readonly decoders: number;
  /** The processes that decode them for it; absent: it decodes them itself. */
  readonly decoding?: DecodingStart | undefined;
}

/** How the processes begin that decode for another one. */
export interface DecodingStart {
  readonly processes: number;
}

/** Runs that a process may have at the same time. */
export function lanesOf({ engine }: ProcessStart): number {
  return engine?.options.lanes ?? 1;
}

export type Question<Work = unknown, Job = unknown> =
  | { readonly kind: 'open'; readonly spec: SessionSpec }
  | { readonly kind: 'close'; readonly session: string }
  /** Give back the memory that runs have left with the engine. */
  | { readonly kind: 'shrink' }
  /** Give free memory back to the system. */
  | { readonly kind: 'return-memory' }
  /** `limitMs`: after so many milliseconds nobody waits for it any more; absent: somebody does, however long it takes. */
  | {
      readonly kind: 'run';
      readonly session: string;
      readonly works: readonly Work[];
      readonly limitMs?: number | undefined;
    }
  | { readonly kind: 'job'; readonly job: Job };

export interface Opened {
  readonly provider: string;
  /** Milliseconds inside the engine of each of the spec's warm-ups. */
  readonly warmUpMs: readonly number[];
}

/** What became of one item: an item that fails fails alone. */
export type Outcome<Output> = { readonly output: Output } | { readonly error: PlainError };

export interface RanBatch<Output> {
  /** In the order of the batch. */
  readonly outcomes: readonly Outcome<Output>[];
  /** Milliseconds inside the engine. */
  readonly runMs: number;
  /** When the engine was done, by the machine's clock (machine-clock.ts); absent: nothing ran. */
  readonly ranAtMachineMs?: number | undefined;
  /** Whether its memory is still with the engine, until that is told to shrink. */
  readonly hasGrown: boolean;
}

export type ProcessRequest<Work = unknown, Job = unknown> =
  | { readonly number: number; readonly question: Question<Work, Job> }
  /** Nobody waits for the answer to this question any more. It is answered all the same. */
  | { readonly cancel: number }
  /** Answer what was asked, and end. */
  | { readonly exit: true };

export type ProcessReply =
  /** Said once, unasked: the engine is loaded. */
  | { readonly kind: 'ready' }
  /** Said once, unasked, in place of `ready`: the operator has to do something about it. The process ends. */
  | { readonly kind: 'unusable'; readonly message: string }
  /** Said unasked: a process that it had started died, and is replaced or not. */
  | HelperLost
  /** Why the process is about to end by itself. */
  | { readonly kind: 'dying'; readonly message: string }
  | { readonly kind: 'answer'; readonly number: number; readonly value: unknown }
  | { readonly kind: 'failure'; readonly number: number; readonly error: PlainError };

export interface HelperLost {
  readonly kind: 'helper-lost';
  readonly message: string;
  readonly during: Restart['during'];
  /** When its replacement starts; undefined when it is given up. */
  readonly restartInMs: number | undefined;
}

/** Whether a message is a reply, of whose value nothing is known yet. What it comes from may be broken. */
export function isReply(message: unknown): message is ProcessReply {
  if (!isRecord(message)) return false;
  const { kind, number, message: text, error, restartInMs } = message;
  switch (kind) {
    case 'ready':
      return true;
    case 'unusable':
    case 'dying':
      return typeof text === 'string';
    case 'helper-lost':
      return typeof text === 'string' && isOptional('number', restartInMs);
    case 'answer':
      return typeof number === 'number';
    case 'failure':
      return typeof number === 'number' && isPlainError(error);
    default:
      return false;
  }
}

/** Whether an answer to a run is one, of whose outputs nothing is known yet. */
export function isRanBatch(value: unknown): value is RanBatch<unknown> {
  if (!isRecord(value)) return false;
  const { outcomes, runMs } = value;
  if (typeof runMs !== 'number' || !Array.isArray(outcomes)) return false;
  return outcomes.every(
    (outcome) => isRecord(outcome) && ('error' in outcome ? isPlainError(outcome['error']) : 'output' in outcome),
  );
}

/** An error as data: an engine's own may not be cloneable. */
export interface PlainError {
  readonly message: string;
  readonly stack: string | undefined;
  /** Of a ServiceError. */
  readonly service?: ServicePart | undefined;
}

type ServicePart = Pick<ServiceError, 'code' | 'errors' | 'limit'>;

function isPlainError(value: unknown): value is PlainError {
  if (!isRecord(value)) return false;
  const { message, stack, service } = value;
  return (
    typeof message === 'string' && isOptional('string', stack) && (service === undefined || isServicePart(service))
  );
}

function isServicePart(value: unknown): value is ServicePart {
  if (!isRecord(value)) return false;
  const { code, errors, limit } = value;
  if (typeof code !== 'string' || !Object.hasOwn(ERROR_TABLE, code)) return false;
  return Array.isArray(errors) && errors.every(isParameterError) && (limit === undefined || isExceededLimit(limit));
}

function isParameterError(value: unknown): value is ParameterError {
  return isRecord(value) && typeof value['parameter'] === 'string' && typeof value['detail'] === 'string';
}

function isExceededLimit(value: unknown): value is ExceededLimit {
  if (!isRecord(value)) return false;
  const { name, value: bound, needed } = value;
  if (typeof name !== 'string' || !Object.hasOwn(LIMITS, name)) return false;
  return typeof bound === 'number' && isOptional('number', needed);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

function isOptional(type: 'string' | 'number', value: unknown): boolean {
  return value === undefined || typeof value === type;
}

export function toPlainError(thrown: unknown): PlainError {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const cause = error.cause instanceof Error ? `\ncaused by ${error.cause.stack ?? error.cause.message}` : '';
  const plain = { message: error.message, stack: `${error.stack ?? error.message}${cause}` };
  if (!(error instanceof ServiceError)) return plain;
  return { ...plain, service: { code: error.code, errors: error.errors, limit: error.limit } };
}

/** The error again, with the stack of the process that it comes from; of a ServiceError that stack is the cause's. */
export function fromPlainError({ message, stack, service }: PlainError): Error {
  const original = Object.assign(new Error(message), { stack });
  if (service === undefined) return original;
  return new ServiceError(service.code, message, { cause: original, errors: service.errors, limit: service.limit });
}
