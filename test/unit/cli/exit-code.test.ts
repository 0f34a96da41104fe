import { expect, it } from 'vitest';
import { exitCodeOf } from '../../../src/cli/exit-code.js';
import { ServiceError, UsageError, type ErrorCode } from '../../../src/errors.js';

it.each<[ErrorCode, number]>([
  ['IMAGE_UNDECODABLE', 1],
  ['INVALID_REQUEST', 2],
  ['CLASS_NOT_FOUND', 2],
  ['RATE_LIMITED', 3],
  ['REQUEST_TIMEOUT', 3],
  ['QUEUE_FULL', 3],
])('a command that ends with %s ends with %i', (code, exit) => {
  expect(exitCodeOf(new ServiceError(code, 'no'))).toBe(exit);
});

it('wrong usage ends with 2', () => expect(exitCodeOf(new UsageError('no'))).toBe(2));
