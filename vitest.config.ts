import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // Several files at once would each start worker pools; two cores are the smallest machine this must pass on.
    maxWorkers: 2,
  },
});
