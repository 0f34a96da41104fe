import { expect, it } from 'vitest';
import { decodingProcesses, GPU, PLANNING_GPU, workerPerCore } from '../../../src/runtime/device-policy.js';

it.each([
  [1, 0],
  [2, 0],
  [3, 2],
  [16, 8],
  [96, 48],
])(
  'images for a GPU on %d cores, two decoded for each, are decoded by %d processes of their own',
  (cores, expected) => {
    for (const policy of [GPU, PLANNING_GPU]) expect(decodingProcesses(policy, 2 * cores)).toBe(expected);
  },
);

it('images for a CPU are decoded where they are run', () => {
  for (const cores of [1, 2, 16, 96]) expect(decodingProcesses(workerPerCore(cores), 2 * cores)).toBe(0);
});
