import { describe, expect, it } from 'vitest';
import { createMapAccount, MAX_VALUES } from '../../../src/inference/map-account.js';

const refusalOf = (add: () => void): { code: string; message: string; errors: object[] } => {
  try {
    add();
  } catch (error) {
    return error as ReturnType<typeof refusalOf>;
  }
  throw new Error('it was not refused');
};

describe('the account of a request', () => {
  it('takes what fits, to the value', () => {
    const account = createMapAccount(2, { values: 100 });
    account.add({ values: 60, bytes: 2 ** 26 });
    account.add({ values: 40, bytes: 2 ** 26 });
    expect(account.isExceeded).toBe(false);
    expect(() => account.add({ values: 1, bytes: 0 })).toThrow();
    expect(account.isExceeded).toBe(true);
  });

  it('names the values, the limit, and what to ask for', () => {
    const account = createMapAccount(1, { values: 2 ** 22, orElse: ', or application/x-npy' });
    expect(refusalOf(() => account.add({ values: 14_745_600, bytes: 0 }))).toMatchObject({
      code: 'IMAGE_TOO_LARGE',
      message:
        'The answer would have 14745600 map values (cells × classes × images); the limit is 4194304. Ask for fewer classes, a coarser outputStride, a smaller size, or application/x-npy.',
      errors: [{ parameter: 'outputStride', detail: 'gives 14745600 values' }],
      limit: { name: 'map_values', value: 2 ** 22, needed: 14_745_600 },
    });
  });

  it('says of several images that they have at least as many, and that fewer images would help', () => {
    const account = createMapAccount(8, MAX_VALUES);
    account.add({ values: 2 ** 24, bytes: 0 });
    expect(refusalOf(() => account.add({ values: 5, bytes: 0 })).message).toMatch(/at least 16777221 .* fewer images/);
  });

  it('refuses maps that take too much memory, whatever the answer has of them', () => {
    const account = createMapAccount(1, MAX_VALUES);
    expect(refusalOf(() => account.add({ values: 1, bytes: 2 ** 27 + 1 }))).toMatchObject({
      message: expect.stringMatching(/134217729 bytes; the limit is 134217728.*fewer scales/) as string,
      limit: { name: 'maps_bytes', value: 2 ** 27, needed: 2 ** 27 + 1 },
    });
  });
});
