/**
 * What the image routes share: a request's deadline and signal, the limit on its passes, and headers about the model.
 */
import type { Socket } from 'node:net';
import type { FastifyReply } from 'fastify';
import type { Asker } from '../batching/expected-wait.js';
import type { Flow } from '../batching/fair-shares.js';
import type { Config } from '../config.js';
import { ClientGoneError, ServiceError } from '../errors.js';
import type { Admission } from '../inference/admission.js';
import { checkAlive, waitWithin, type RequestContext } from '../inference/request-context.js';
import type { Quota } from '../keys/quota.js';
import type { CompiledModel } from '../models/compile.js';
import type { Wait } from '../models/registry.js';
import type { Question } from './known-questions.js';
import type { AnswerHeaders } from './answer.js';
import { notesOf } from './request-notes.js';
import type { Answer } from './route.js';

/** Whose share of the workers a request takes. `client` is the holder of its address. */
export function askerOf(
  { priority }: Pick<Question, 'priority'>,
  client: string,
  socket: Socket | null,
  { maxPriority }: Pick<Config, 'maxPriority'>,
): Asker {
  return { flow: { client, connection: numberOf(socket) }, priority: Math.min(priority, maxPriority) };
}

/** A request that would wait for longer is refused: half of its time. */
export function longestWaitMs(
  { deadlineMs = Infinity }: Pick<Question, 'deadlineMs'>,
  config: Pick<Config, 'deadlineMs'>,
): number {
  return Math.min(deadlineMs, config.deadlineMs) / 2;
}

/**
 * `deadline` is in milliseconds of `performance.now()`. The signal is aborted when the client hangs up early, or when `ending` is,
 * which is the server's own.
 */
export function requestContext(
  reply: FastifyReply,
  {
    ending,
    ...asked
  }: Pick<RequestContext, 'flow' | 'priority' | 'deadline' | 'budget'> & { readonly ending: AbortSignal },
): RequestContext {
  const over = new AbortController();
  const end = (): void => over.abort(ending.reason);
  if (ending.aborted) end();
  ending.addEventListener('abort', end);
  const close = (): void => {
    ending.removeEventListener('abort', end);
    if (!reply.raw.writableEnded) over.abort(new ClientGoneError());
  };
  // The client may have left while its images were read.
  if (reply.raw.closed || reply.raw.destroyed) close();
  else reply.raw.once('close', close);
  return { ...asked, signal: over.signal, notes: notesOf(reply.request.raw) };
}

/**
 * How a request waits for a model that is loaded for it: as long as it lives, with places for its passes. Rejects with
 * DEADLINE_EXCEEDED, QUEUE_FULL, or the signal's reason.
 */
export function waitForModel(
  admission: Pick<Admission, 'admitWaiting'>,
  passes: number,
  context: RequestContext,
): Wait {
  return async (loading) => {
    checkAlive(context);
    const release = admission.admitWaiting(passes);
    try {
      return await waitWithin(
        context,
        loading(),
        'The deadline passed while the model was being loaded, or waited for room.',
      );
    } finally {
      release();
    }
  };
}

const connections = new WeakMap<Socket, number>();
let opened = 0;

/** A connection's number is its own as long as it is open. Requests by `inject` have no connection. */
function numberOf(socket: Socket | null): Flow['connection'] {
  if (socket === null) return 0;
  const connection = connections.get(socket) ?? (opened += 1);
  connections.set(socket, connection);
  return connection;
}

/** Throws INVALID_REQUEST if images × scales are more than one request may ask for. */
export function limitPasses(passes: number, maximum: number): void {
  if (passes <= maximum) return;
  throw new ServiceError(
    'INVALID_REQUEST',
    `The request asks for ${passes} images × scales; the limit is ${maximum}.`,
    {
      errors: [{ parameter: 'scale', detail: 'too many for this number of images' }],
      limit: { name: 'images', value: maximum, needed: passes },
    },
  );
}

/** The places that a request has of its key's images at once. */
export interface HeldImages {
  /** Have so many. Throws RATE_LIMITED. */
  take(images: number): void;
  giveBack(): void;
}

/**
 * Hold a place for one image before the body tells how many there are. The caller must give back what it has. Throws
 * RATE_LIMITED if there is no place. Without a quota there are always some.
 */
export function holdImages(quota: Pick<Quota, 'holdImages'> | undefined): HeldImages {
  let giveBack = quota?.holdImages(1);
  return {
    take(images) {
      giveBack?.();
      giveBack = undefined;
      giveBack = quota?.holdImages(images);
    },
    giveBack: () => giveBack?.(),
  };
}

/** INVALID_REQUEST for a body that has more images than one request may: the others are not read. */
export function tooManyImages(maximum: number): ServiceError {
  return new ServiceError('INVALID_REQUEST', `The request has too many images; the limit is ${maximum}.`, {
    limit: { name: 'images', value: maximum, needed: maximum + 1 },
  });
}

/** As `modelReference` in schemas.ts. */
export function modelReference({ manifest, digest, precision, engine }: CompiledModel) {
  return { name: manifest.name, version: manifest.version, digest, precision, engine };
}

/** Of modelHeaders, for the API's description. */
export const MODEL_HEADERS = {
  'Fullconv-Model': { description: 'The model, as name@version', required: true },
  'Fullconv-Model-Digest': {
    description: 'sha256 over its manifest, labels and weights',
    required: true,
    schema: { type: 'string', pattern: '^[0-9a-f]{64}$' },
  },
} as const satisfies Answer['headers'];

export function modelHeaders({ manifest, digest }: CompiledModel): AnswerHeaders {
  return { 'fullconv-model': `${manifest.name}@${manifest.version}`, 'fullconv-model-digest': digest };
}

/** Milliseconds, rounded to the microsecond: the clock's resolution. */
export function roundTiming<T extends Record<string, number>>(timing: T): T {
  return Object.fromEntries(
    Object.entries(timing).map(([name, value]) => [name, Math.round(value * 1000) / 1000]),
  ) as T;
}
