/**
 * Pages of other origins: a browser lets them ask this API, and read its answers, only if the answer allows it (CORS).
 * Every answer, refusals included, allows the origins of the setting. Any other origin gets none of these headers, and
 * its preflight is answered like any request with OPTIONS.
 *
 * Source: the Fetch standard, "CORS protocol".
 */
import cors from '@fastify/cors';
import type { FastifyInstance, FastifyReply } from 'fastify';

/** The headers that pages may read besides the few that every page may. */
const EXPOSED = [
  'X-Request-Id',
  'Traceparent',
  'Traceresponse',
  'Retry-After',
  'ETag',
  'Cache-Status',
  'Accept-Encoding',
  'Allow',
  'WWW-Authenticate',
  'RateLimit-Policy',
  'RateLimit',
  'Fullconv-Model',
  'Fullconv-Model-Digest',
  'Fullconv-Map',
  'Fullconv-Input',
  'Fullconv-Classes',
  'Fullconv-Class-Count',
];

/** How long a browser remembers a preflight; the longest that Chromium allows. */
const PREFLIGHT_S = 7200;

/**
 * Let pages of these origins ask; `*` for all. Must be called before other hooks are added, so that its hook runs for
 * every request.
 */
export async function allowOrigins(app: FastifyInstance, origins: readonly string[]): Promise<void> {
  if (origins.length === 0) return;
  const all = origins.includes('*');
  await app.register(cors, {
    origin: (origin, allow) => {
      if (origin === undefined) allow(null, false);
      else if (all) allow(null, '*');
      else allow(null, origins.includes(origin) ? origin : false);
    },
    methods: ['GET', 'HEAD', 'POST'],
    exposedHeaders: EXPOSED,
    maxAge: PREFLIGHT_S,
    strictPreflight: false,
  });
}

/** Add to Vary a header of the request that the answer depends on. */
export function variesBy(reply: FastifyReply, header: string): void {
  const others = reply.getHeader('vary');
  void reply.header('vary', others === undefined ? header : `${String(others)}, ${header}`);
}
