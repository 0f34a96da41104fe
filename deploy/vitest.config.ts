/** The test on a real cluster, `npm run test:cluster`. It is no part of `npm test`: it needs root, ten minutes and what it says. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: import.meta.dirname,
    include: ['test/*.test.ts'],
    globalSetup: ['../test/support/build-dist.ts'],
    // They would share the cores.
    fileParallelism: false,
    testTimeout: 0,
    hookTimeout: 0,
    // One step stands on the one before.
    bail: 1,
    sequence: { concurrent: false },
  },
});
