import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Workers, servers and the command line run from dist/, which is never older than the sources.
    globalSetup: ['test/support/build-dist.ts'],
    // A busy machine is no failure: what hangs is told by what it does, see there.
    setupFiles: ['test/support/patience.ts'],
    // A poll that fails must end, too.
    expect: { poll: { timeout: 120_000 } },
    testTimeout: 0,
    hookTimeout: 0,
    // Several files at once would each start worker pools; two cores are the smallest machine this must pass on.
    maxWorkers: 2,
  },
});
