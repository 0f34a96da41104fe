/** Who may fetch, when others do. */
import { expect, it } from 'vitest';
import type { ServiceError } from '../../../../src/errors.js';
import { createFetchSlots, type FetchSlots } from '../../../../src/http/from-url/fetch-slots.js';

/** Take places until one is refused: how many there were, and the refusal. */
function fill(slots: FetchSlots, host: (n: number) => string, client: (n: number) => string): [number, string] {
  for (let count = 0; ; count += 1) {
    try {
      slots.take(host(count), client(count));
    } catch (error) {
      const { code, limit } = error as ServiceError;
      return [count, `${code} ${limit!.name}`];
    }
  }
}
const created = (maximum: number) => {
  const refused: string[] = [];
  return { slots: createFetchSlots(maximum, (refusal) => refused.push(refusal)), refused };
};

it('all together, a host, and a client have their parts', () => {
  const { slots, refused } = created(12);
  expect(fill(slots, () => 'a', String)).toEqual([6, 'QUEUE_FULL fetches_per_host']);
  expect(
    fill(
      slots,
      (n) => `b${n}`,
      () => 'c',
    ),
  ).toEqual([3, 'RATE_LIMITED fetches_per_address']);
  expect(
    fill(
      slots,
      (n) => `d${n}`,
      (n) => `e${n}`,
    ),
  ).toEqual([3, 'QUEUE_FULL fetches']);
  expect([slots.taken, refused]).toEqual([12, ['fetches_per_host', 'fetches_per_address', 'fetches']]);
});

it('a place is given back, and the only one may be had', () => {
  const { slots } = created(1);
  const giveBack = slots.take('a', 'b');
  expect(() => slots.take('c', 'd')).toThrow();
  giveBack();
  expect(slots.taken).toBe(0);
  slots.take('a', 'b')();
});
