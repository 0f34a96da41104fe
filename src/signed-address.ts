/**
 * Addresses that may be given away: a signature at the end of the query says that whoever has a key allows this question until a
 * time. Signed are the path from `/v1` on and the query to the letter, but for the signature: HMAC-SHA256, in base64url without padding.
 *
 *     /v1/heatmap?url=https%3A%2F%2Fimages.example.com%2Fcat.jpg&expires=1790000000&signature=…
 *
 * Sources: RFC 2104 (HMAC), RFC 4648 section 5 (base64url).
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** Why an address is refused. */
export type SignatureFault = 'missing' | 'wrong' | 'expired' | 'endless';

const SIGNATURE = 'signature=';

/** Seconds since 1970, by the clock of the machine: an address that is given away holds until a time of day. */
export function secondsNow(): number {
  return Math.floor(Date.now() / 1000);
}

/**
 * Why the address of a request does not hold; undefined if it does. `path` is that of the route, `query` what stands behind the `?`, as it came.
 * Any of the keys may have made the signature.
 */
export function faultOfAddress(
  path: string,
  query: string,
  keys: readonly string[],
  now: number,
): SignatureFault | undefined {
  const parts = query.split('&');
  const [given, ...others] = parts.filter((part) => part.startsWith(SIGNATURE));
  if (given === undefined) return 'missing';
  if (others.length > 0) return 'wrong';
  const text = `${path}?${parts.filter((part) => part !== given).join('&')}`;
  const signature = given.slice(SIGNATURE.length);
  if (!keys.some((key) => isSame(signature, signatureOf(text, key)))) return 'wrong';
  // The query has been signed: there is one of it, and it is a number, unless who signed made a mistake.
  const expires = parts.filter((part) => part.startsWith('expires='));
  const seconds = /^expires=(\d{1,12})$/.exec(expires[0] ?? '')?.[1];
  if (expires.length !== 1 || seconds === undefined) return 'endless';
  return Number(seconds) <= now ? 'expired' : undefined;
}

/** An address with its signature, until `expires`, in seconds since 1970. `query` is what stands behind the `?`. */
export function signedQuery(path: string, query: string, key: string, expires: number): string {
  const text = `${query}&expires=${expires}`;
  return `${text}&${SIGNATURE}${signatureOf(`${path}?${text}`, key)}`;
}

function signatureOf(text: string, key: string): string {
  return createHmac('sha256', key).update(text).digest('base64url');
}

/** Takes as long wherever they differ. */
function isSame(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)];
  return a.length === b.length && timingSafeEqual(a, b);
}
