/**
 * The record of administration: who did what to which model, and what came of it. A line of the log each, at the level info, with
 * `audit: true`. It names keys, and never shows one.
 */
import type { FastifyRequest } from 'fastify';
import { ServiceError } from '../errors.js';
import type { ModelEntry } from '../models/registry.js';
import { clientAddress } from './client-address.js';
import type { RouteParts } from './parts.js';

type AuditParts = Pick<RouteParts, 'access' | 'config'>;

export interface Act {
  readonly action: 'load' | 'unload';
  readonly model: string;
  /** Absent: all of them. */
  readonly version?: string | undefined;
}

/** Do it, and write down what came of it. Throws what `work` throws. */
export async function audited(
  { access, config }: AuditParts,
  request: FastifyRequest,
  act: Act,
  work: () => Promise<ModelEntry>,
): Promise<ModelEntry> {
  const who = { by: access.callerOf(request.raw)?.name, client: clientAddress(request.raw, config.trustedProxies) };
  const write = (outcome: object): void => request.log.info({ audit: true, ...act, ...who, ...outcome }, 'audit');
  try {
    const entry = await work();
    write({ result: entry.state, ...(entry.reason === undefined ? {} : { reason: entry.reason }) });
    return entry;
  } catch (error) {
    write({ result: error instanceof ServiceError ? error.code : 'INFERENCE_FAILED' });
    throw error;
  }
}
