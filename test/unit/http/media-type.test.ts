/** Which form an answer has, and how often Accept is read for it. */
import type { FastifyRequest } from 'fastify';
import { describe, expect, it } from 'vitest';
import { MAP_MEDIA_TYPES, negotiate, type MapMediaType } from '../../../src/http/media-type.js';

/** A request that counts who looks at its Accept: each negotiation reads all of it. */
function requestOf(accept: string | undefined, method = 'POST') {
  const reads = { negotiations: 0, others: 0 };
  const request = {
    method,
    raw: {
      headers: {
        get accept() {
          reads.negotiations += 1;
          return accept;
        },
      },
    },
    headers: {
      get accept() {
        reads.others += 1;
        return accept;
      },
    },
  } as unknown as FastifyRequest;
  return { request, reads };
}

const only =
  (...types: readonly MapMediaType[]) =>
  (type: MapMediaType) =>
    types.includes(type) ? undefined : 'is not for this';

describe('Accept', () => {
  it.each([
    [undefined, 'image/png'],
    ['*/*', 'image/png'],
    ['application/json, */*;q=0.1', 'application/json'],
    ['image/webp;q=0.5, application/x-npy', 'application/x-npy'],
    ['image/*', 'image/png'],
    ['image/avif', 'image/avif'],
  ])('%s gets %s', (accept, type) => {
    expect(negotiate(requestOf(accept).request)).toBe(type);
  });

  it('gets the best of those that can hold the answer, or the reason why the best of all cannot', () => {
    const { request } = requestOf('image/png, application/json;q=0.5');
    expect(negotiate(request, only('application/json', 'application/x-npy'))).toBe('application/json');
    expect(() => negotiate(request, only('application/x-npy'))).toThrow(
      'image/png is not for this; ask for application/x-npy.',
    );
    expect(() => negotiate(requestOf('text/html').request)).toThrow('has no form that "text/html" accepts');
  });

  it('is read as often for the last type as for the first, whatever can hold the answer', () => {
    const readsFor = (accept: string, method: string, ...types: readonly MapMediaType[]) => {
      const { request, reads } = requestOf(accept, method);
      expect(negotiate(request, only(...types))).toBe(accept);
      return reads;
    };
    const [first, last] = [MAP_MEDIA_TYPES[0], MAP_MEDIA_TYPES.at(-1)!];
    const reads = readsFor(first, 'POST', ...MAP_MEDIA_TYPES);
    expect(reads.negotiations).toBeLessThanOrEqual(2);
    expect(readsFor(last, 'POST', ...MAP_MEDIA_TYPES)).toEqual(reads);
    expect(readsFor(last, 'POST', last)).toEqual(reads);
    expect(readsFor(last, 'GET', ...MAP_MEDIA_TYPES)).toEqual(reads);
  });
});
