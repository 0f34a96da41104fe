import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { architecturesMarkdown } from '../../../src/cli/commands/list-architectures.js';
import { allArchitectureFigures } from '../../../src/models/look/architecture-figures.js';

it('the table of the README is what the code computes: npm run --silent architectures', async () => {
  const readme = await readFile(new URL('../../../README.md', import.meta.url), 'utf8');
  const [, table] = /<!-- architectures -->\n\n([^]*)\n<!-- \/architectures -->/.exec(readme) ?? [];
  expect(table).toBe(architecturesMarkdown(allArchitectureFigures()));
});
