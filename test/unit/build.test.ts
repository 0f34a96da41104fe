/** What is built is what the sources say, whatever was built before. */
import { appendFile, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildCopy, copySources } from '../support/source-copy.js';

let copy: string;
beforeAll(async () => {
  copy = await copySources();
  await buildCopy(copy);
});
afterAll(() => rm(copy, { recursive: true }));

const built = (file: string): string => join(copy, 'dist', file);

it('a build follows changes and names, leaves what is as it should be, and removes what no source makes', async () => {
  const before = await stat(built('tensor.js'));
  // Renamed, a file keeps its age.
  await rename(join(copy, 'src/drawing/legend.ts'), join(copy, 'src/drawing/key.ts'));
  await appendFile(join(copy, 'src/version.ts'), "export const CHANGED = 'changed';\n");
  await writeFile(built('client/index.d.ts'), '');
  await buildCopy(copy);
  expect(await readFile(built('version.js'), 'utf8')).toContain('CHANGED');
  const files = await readdir(built(''), { recursive: true });
  expect(files).toContain('drawing/key.js');
  expect(files.filter((name) => name.includes('legend'))).toEqual([]);
  expect(files.filter((name) => name.endsWith('.tmp'))).toEqual([]);
  const { ino, mtimeMs } = await stat(built('tensor.js'));
  expect({ ino, mtimeMs }).toEqual({ ino: before.ino, mtimeMs: before.mtimeMs });
  // What tsc wrote is not the build's.
  expect(await readdir(built('client'))).toContain('index.d.ts');
});
