/**
 * Answers a question once: looks it up among the answers that are kept, counts what became of it, and says so in Cache-Status.
 * Without a cache it is computed, and the answer says nothing.
 *
 * Source: RFC 9211 (Cache-Status). A question is more than its URI, so that what is not kept is a `miss`, no `uri-miss`.
 */
import type { RequestContext } from '../inference/request-context.js';
import type { Asked } from '../inference/statistics.js';
import type { CompiledModel } from '../models/compile.js';
import type { MadeAnswer } from './answer.js';
import type { RouteParts } from './parts.js';
import type { Lookup } from './response-cache.js';
import type { Answer } from './route.js';

export interface AskedOnce {
  readonly model: CompiledModel;
  readonly asked: Asked;
  readonly context: RequestContext;
  /** Of the answer; called only if there is a cache. */
  readonly key: () => Promise<string>;
}

const STATUS: Readonly<Record<Lookup, string>> = {
  hit: 'fullconv; hit',
  collapsed: 'fullconv; fwd=miss; collapsed',
  stored: 'fullconv; fwd=miss; stored',
  made: 'fullconv; fwd=miss',
};

/** Of the header, for the API's description. */
export const CACHE_HEADERS = {
  'Cache-Status': {
    description:
      'With FULLCONV_RESPONSE_CACHE_MB: whether the answer was kept, or computed for another request (RFC 9211)',
  },
} as const satisfies Answer['headers'];

export async function answerOnce(
  { cache, metrics, inference: { statistics } }: Pick<RouteParts, 'cache' | 'metrics' | 'inference'>,
  { model, asked, context, key }: AskedOnce,
  make: () => Promise<MadeAnswer>,
): Promise<MadeAnswer> {
  if (!cache.isOn) return make();
  // Whoever computes it says so, too; nobody does for an answer that is kept.
  if (context.notes !== undefined) context.notes.model = model.manifest.name;
  const began = performance.now();
  let computedMs = 0;
  const { answer, lookup } = await cache.answer(await key(), context, async () => {
    const from = performance.now();
    try {
      return await make();
    } finally {
      computedMs = performance.now() - from;
    }
  });
  const { name, version } = model.manifest;
  const isHit = lookup === 'hit' || lookup === 'collapsed';
  metrics.observeLookup(lookup);
  statistics.observeLookup({ model: name, version, asked, isHit, ms: performance.now() - began - computedMs });
  return { ...answer, headers: { ...answer.headers, 'cache-status': STATUS[lookup] } };
}
