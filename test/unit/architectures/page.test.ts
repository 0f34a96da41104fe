import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { architecturesMarkdown } from '../../../src/cli/commands/list-architectures.js';
import { allArchitectureFigures } from '../../../src/models/look/architecture-figures.js';

it('docs/architectures.md is what the code computes: npm run architectures', async () => {
  const page = await readFile(new URL('../../../docs/architectures.md', import.meta.url), 'utf8');
  expect(page).toBe(architecturesMarkdown(allArchitectureFigures()));
});
