/**
 * Who may have an image fetched. Where there are keys: whoever has a signed address, a page of anybody's with an `<img>` too; no other
 * credentials are needed then. Where there are none: everybody but pages of other origins, as with a post.
 */
import type { FastifyRequest } from 'fastify';
import { ServiceError } from '../../errors.js';
import { faultOfAddress, secondsNow, type SignatureFault } from '../../signed-address.js';
import type { RouteParts } from '../parts.js';
import { splitTarget } from '../request-target.js';

const DETAILS: Readonly<Record<SignatureFault, string>> = {
  missing: 'is missing: this server answers signed addresses only',
  wrong: 'is not the one of this address: it is of another path or query, or made with another key',
  expired: 'has passed: the signed address held until then',
  endless: 'is missing or no number: a signed address says until when it holds, in seconds since 1970',
};

/** Throws FORBIDDEN, and says what is wrong with the signature. */
export function checkSigned(
  request: FastifyRequest,
  { config: { urlKeys }, checkPage, metrics }: Pick<RouteParts, 'config' | 'checkPage' | 'metrics'>,
): void {
  if (urlKeys.length === 0) {
    checkPage(request);
    return;
  }
  const { url, routeOptions } = request;
  const { query = '' } = splitTarget(url);
  const fault = faultOfAddress(routeOptions.url ?? '', query, urlKeys, secondsNow());
  if (fault === undefined) return;
  metrics.observeRefused('signature');
  const parameter = fault === 'expired' || fault === 'endless' ? 'expires' : 'signature';
  throw new ServiceError('FORBIDDEN', `The address is not signed, or not any more: ${parameter} ${DETAILS[fault]}.`, {
    errors: [{ parameter, detail: DETAILS[fault] }],
  });
}
