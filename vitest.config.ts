import { defineConfig } from 'vitest/config';
import { SLOW_FILES } from './test/slow-files.js';

const every = {
  // A busy machine is no failure: what hangs is told by what it does, see there.
  setupFiles: ['test/support/patience.ts'],
  // A poll that fails must end, too.
  expect: { poll: { timeout: 120_000 } },
  testTimeout: 0,
  hookTimeout: 0,
};
const slow = [...SLOW_FILES];

export default defineConfig({
  test: {
    // Workers, servers and the command line run from dist/, which is never older than the sources.
    globalSetup: ['test/support/build-dist.ts'],
    // Several files at once would each start worker pools; two cores are the smallest machine this must pass on.
    maxWorkers: 2,
    // Every file is in one of the two, and `npm test` runs both.
    projects: [
      { test: { ...every, name: 'fast', include: ['test/**/*.test.ts'], exclude: slow } },
      { test: { ...every, name: 'slow', include: slow.map((files) => files.replace(/\*\*$/, '**/*.test.ts')) } },
    ],
  },
});
