import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { FastifyBaseLogger } from 'fastify';
import { createRefusalLog } from '../../../src/http/refusal-log.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('writes the lines of the first twenty refusals of a second, and one of how many more there were', () => {
  const warn = vi.fn();
  const log = createRefusalLog({ warn } as unknown as FastifyBaseLogger);
  const write = vi.fn();
  for (let refusal = 0; refusal < 720; refusal++) log.refused(write);
  expect(write).toHaveBeenCalledTimes(20);
  expect(warn).not.toHaveBeenCalled();
  vi.advanceTimersByTime(1000);
  expect(warn.mock.calls).toEqual([[{ requests: 700 }, expect.stringContaining('the server is full')]]);
  for (let refusal = 0; refusal < 20; refusal++) log.refused(write);
  vi.advanceTimersByTime(10_000);
  expect(write).toHaveBeenCalledTimes(40);
  expect(warn).toHaveBeenCalledTimes(1);
});
