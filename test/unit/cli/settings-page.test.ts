import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { settingsMarkdown } from '../../../src/cli/settings-page.js';
import { SETTING_LIST } from '../../../src/config.js';

it('docs/settings.md is what config.ts says: npm run settings', async () => {
  const page = await readFile(new URL('../../../docs/settings.md', import.meta.url), 'utf8');
  expect(page).toBe(settingsMarkdown(SETTING_LIST));
});

it('a setting is a row: what is empty says so, what follows from the machine is said in words', () => {
  const setting = { variable: 'FULLCONV_CORES', flag: '--cores', about: 'how many' } as const;
  const rowOf = (given: { default: string; defaultInWords?: string }): string | undefined =>
    settingsMarkdown([{ ...setting, defaultInWords: undefined, ...given }])
      .trim()
      .split('\n')
      .at(-1);
  expect(rowOf({ default: '8' })).toBe('| `FULLCONV_CORES` | `--cores` | `8` | how many |');
  expect(rowOf({ default: '' })).toBe('| `FULLCONV_CORES` | `--cores` | empty | how many |');
  expect(rowOf({ default: '8', defaultInWords: 'all' })).toBe('| `FULLCONV_CORES` | `--cores` | all | how many |');
});
