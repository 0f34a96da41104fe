/**
 * The target of a request, as its request line has it, in its parts. There is one place that takes it apart, and it cuts where the
 * router does: whoever cut elsewhere would check, log or count another question than the one that is answered.
 *
 * A `#` belongs to no target, but Node's parser lets it through, and the router takes it for the beginning of a query. Requests with one are
 * refused before anything else is looked at.
 *
 * Source: RFC 9112, section 3.2; RFC 3986, section 3.
 */
import { ServiceError } from '../errors.js';
import type { Refusal } from './refusals.js';

export interface RequestTarget {
  readonly path: string;
  /** What stands behind the `?`, as it came; undefined where there is none. */
  readonly query: string | undefined;
}

export function splitTarget(target: string): RequestTarget {
  const end = target.search(/[?#]/);
  return end < 0 ? { path: target, query: undefined } : { path: target.slice(0, end), query: target.slice(end + 1) };
}

/** Throws INVALID_REQUEST for a target with a `#`. */
export function checkTarget(target: string, onRefused: (refusal: Refusal) => void): void {
  if (!target.includes('#')) return;
  onRefused('malformed');
  throw new ServiceError(
    'INVALID_REQUEST',
    'The address of the request has a "#"; in the value of a parameter it is %23.',
  );
}
