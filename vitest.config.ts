import { readFileSync } from 'node:fs';
import { globSync } from 'tinyglobby';
import { defineConfig } from 'vitest/config';
import { SLOW_FILES } from './test/slow-files.js';

const every = {
  // Whatever else is installed on the machine. Tests of other engines name theirs.
  env: { FULLCONV_ENGINE: 'onnxruntime' },
  // A busy machine is no failure: what hangs is told by what it does, see there.
  setupFiles: ['test/support/patience.ts'],
  // A poll that fails must end, too.
  expect: { poll: { timeout: 120_000 } },
  testTimeout: 0,
  hookTimeout: 0,
};

/** Tests that put other modules, clocks or variables in the place of the real ones need a process of their own. */
const REPLACES = /\bvi\.(mock|doMock|useFakeTimers|stubEnv|stubGlobal|resetModules)\b|process\.(env\.\w+ = |chdir)/;

const files = (patterns: readonly string[], ignore: readonly string[] = []): string[] =>
  globSync([...patterns], { ignore: [...ignore], expandDirectories: false }).sort();
const slow = files(SLOW_FILES.map((pattern) => pattern.replace(/\*\*$/, '**/*.test.ts')));
const others = files(['test/**/*.test.ts'], slow);
const isolated = others.filter((file) => REPLACES.test(readFileSync(file, 'utf8')));
const fast = others.filter((file) => !isolated.includes(file));

export default defineConfig({
  test: {
    // Workers, servers and the command line run from dist/, which is never older than the sources.
    globalSetup: ['test/support/build-dist.ts'],
    // Several files at once would each start worker pools; two cores are the smallest machine this must pass on. A third runs where two
    // wait for processes and for clocks.
    maxWorkers: 3,
    // Every file is in one of the three, and `npm test` runs them all. `npm run test:fast` runs the first two.
    projects: [
      // Half of its time would go into importing the same modules again for each file.
      { test: { ...every, name: 'fast', include: fast, isolate: false } },
      { test: { ...every, name: 'fast-isolated', include: isolated } },
      { test: { ...every, name: 'slow', include: slow } },
    ],
  },
});
