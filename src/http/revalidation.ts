/**
 * GETs of what seldom changes: the answer carries the digest of its bytes as a strong ETag, and a client that has them
 * already is answered with 304 and none. Nothing is remembered: whatever the answer was made from, it is compared when it
 * is there. That saves the network, not the work, which for these routes is small.
 *
 * Source: RFC 9110, sections 8.8.3 and 13.1.2 (If-None-Match compares weakly: a proxy may have compressed the answer).
 */
import { createHash } from 'node:crypto';
import type { onSendHookHandler } from 'fastify';

/** A route's `onSend` hook. Clients ask again each time, unless the route has said how long an answer may be kept. */
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
  done(null, '');
};

/** Whether a list of ETags, or `*`, has this one. */
function names(list: string | undefined, etag: string): boolean {
  return list?.trim() === '*' || (list?.match(/"[^"]*"/g)?.includes(etag) ?? false);
}
