import { afterEach, expect, it, vi } from 'vitest';
import { tellFailures } from '../../../src/cli/files/tell-failures.js';
import { ServiceError } from '../../../src/errors.js';

const before = process.exitCode;
afterEach(() => {
  vi.restoreAllMocks();
  process.exitCode = before;
});

it('images without an answer are told on the standard error, and end the process with 1', () => {
  const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  tellFailures([]);
  expect(process.exitCode).toBe(before);
  tellFailures([{ name: 'bad\x1b.png', problem: new ServiceError('IMAGE_UNDECODABLE', 'It is broken.') }]);
  expect(process.exitCode).toBe(1);
  expect(written.mock.calls).toEqual([['bad?.png: It is broken.\n']]);
});
