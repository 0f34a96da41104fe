/**
 * GETs whose answers seldom change. The answer carries the digest of its bytes as a strong ETag, and a client that
 * already has the bytes gets a 304 without them. Nothing is remembered: the answer is made first, and then compared.
 * That saves the network but not the work, which is small for these routes.
 *
 * Source: RFC 9110, sections 8.8.3 and 13.1.2 (If-None-Match compares weakly: a proxy may have compressed the answer), and 8.6 (the length of a
 * 304, where it has one, is that of the answer in full).
 */
import { createHash } from 'node:crypto';
import type { onSendHookHandler } from 'fastify';

/** A route's `onSend` hook. Clients ask again each time, unless the route has set a Cache-Control. */
export const revalidated: onSendHookHandler = (request, reply, payload, done) => {
  if (reply.statusCode !== 200) {
    done(null, payload);
    return;
  }
  const etag = `"${createHash('sha256')
    .update(payload as string | Buffer)
    .digest('base64url')
    .slice(0, 22)}"`;
  void reply.header('etag', etag);
  if (!reply.hasHeader('cache-control')) void reply.header('cache-control', 'no-cache');
  if (!names(request.headers['if-none-match'], etag)) {
    done(null, payload);
    return;
  }
  void reply.code(304).removeHeader('content-type').removeHeader('content-length');
  // Of a HEAD fastify sends the length alone, which is that of the answer in full.
  done(null, request.method === 'HEAD' ? payload : null);
};

/** Whether a list of ETags, or `*`, has this one; both may be marked as weak. */
export function names(list: string | undefined, etag: string): boolean {
  return list?.trim() === '*' || (list?.match(/"[^"]*"/g)?.includes(etag.replace(/^W\//, '')) ?? false);
}
