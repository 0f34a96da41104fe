/**
 * What a client has left, in headers: `RateLimit-Policy: "requests";q=10;w=1` and `RateLimit: "requests";r=3;t=1`.
 *
 * Source: draft-ietf-httpapi-ratelimit-headers-09 (structured fields; a quota `q` in a window of `w` seconds, of a unit `qu`
 * that is requests where it is not said; `r` is left, and all of it again after `t` seconds).
 */
import type { QuotaState } from '../keys/quota.js';

export const POLICY_HEADER = 'ratelimit-policy';
export const LEFT_HEADER = 'ratelimit';

export function rateLimitHeaders(states: readonly QuotaState[]): Readonly<Record<string, string>> {
  if (states.length === 0) return {};
  const policies = states.map(({ name, quota, windowS, unit }) => {
    const window = windowS === undefined ? '' : `;w=${windowS}`;
    return `"${name}";q=${quota}${window}${unit === 'requests' ? '' : `;qu="${unit}"`}`;
  });
  const left = states.map(
    ({ name, left, fullInS }) => `"${name}";r=${left}${fullInS === undefined ? '' : `;t=${fullInS}`}`,
  );
  return { [POLICY_HEADER]: policies.join(', '), [LEFT_HEADER]: left.join(', ') };
}
