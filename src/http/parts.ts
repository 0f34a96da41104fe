/** The parts of the server that routes are made from. Each route takes the parts it uses. */
import type { SecureContextOptions } from 'node:tls';
import type { FastifyBaseLogger } from 'fastify';
import type { RunCost } from '../batching/run-cost.js';
import type { Config } from '../config.js';
import type { DeviceChoice } from '../device.js';
import type { Studio } from '../drawing/studio.js';
import type { Inference } from '../inference/infer.js';
import type { Keyring } from '../keys/keyring.js';
import type { Registry } from '../models/registry.js';
import type { Tracing } from '../tracing/request-trace.js';
import type { ApiDocument } from './api-reference.js';
import type { Access } from './access.js';
import type { KeyOf } from './answer-key.js';
import type { BodyMemory } from './body-memory.js';
import type { CheckRequest } from './foreign-pages.js';
import type { FetchSlots } from './from-url/fetch-slots.js';
import type { Metrics } from './metrics.js';
import type { Reach } from './reach.js';
import type { KnownQuestions } from './known-questions.js';
import type { ResponseCache } from './response-cache.js';

export interface HttpParts {
  readonly config: Config;
  readonly logger: FastifyBaseLogger | false;
  readonly inference: Inference;
  readonly studio: Studio;
  readonly registry: Registry;
  readonly metrics: Metrics;
  /** What TLS is spoken with at first; undefined for plain HTTP. */
  readonly tls: SecureContextOptions | undefined;
  /** Undefined if no keys are asked for. */
  readonly keyring: Keyring | undefined;
  /** Undefined: nothing is traced. */
  readonly tracing?: Tracing | undefined;
  readonly device: DeviceChoice;
  /** See planInput. */
  readonly inputStep: number;
  /** By session. */
  readonly runCosts: () => ReadonlyMap<string, RunCost>;
  /** The built playground. */
  readonly playgroundFolder: string;
  readonly isReady: () => boolean;
  /** Aborted when the server waits for answers no longer; its reason is what the requests in flight are answered with. */
  readonly ending: AbortSignal;
  /** False if only a new process can help. */
  readonly isAlive: () => boolean;
}

/**
 * What the server adds for its routes: who may ask and where, their description, the memory for their bodies, and the questions and
 * answers that are known.
 */
export interface RouteParts extends HttpParts {
  readonly access: Access;
  readonly reach: Reach;
  readonly document: ApiDocument;
  readonly bodies: BodyMemory;
  readonly known: KnownQuestions;
  readonly cache: ResponseCache;
  readonly keyOf: KeyOf;
  /** Refuses pages of other origins. */
  readonly checkPage: CheckRequest;
  readonly fetchSlots: FetchSlots;
}
