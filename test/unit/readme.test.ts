import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

const read = (file: string): Promise<string> => readFile(new URL(`../../${file}`, import.meta.url), 'utf8');

it('the README’s table of dependencies has a line for each, and no other', async () => {
  const { dependencies } = JSON.parse(await read('package.json')) as { dependencies: Record<string, string> };
  const section = (await read('README.md')).split('## Dependencies')[1]!.split('\n## ')[0]!;
  const listed = [...section.matchAll(/^\| ([^|]+) \|/gm)]
    .flatMap(([, cell]) => cell!.split(','))
    .map((name) => name.trim())
    .filter((name) => name !== 'package' && !name.startsWith('---'));
  expect(listed.sort()).toEqual(Object.keys(dependencies).sort());
});
