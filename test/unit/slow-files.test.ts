import { globSync } from 'tinyglobby';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { SLOW_FILES } from '../slow-files.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

it.each(SLOW_FILES)('there are slow tests in %s', (files) => {
  expect(globSync(files, { cwd: ROOT }).filter((file) => file.endsWith('.test.ts'))).not.toEqual([]);
});
