import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findInputs } from '../../../src/cli/files/input-files.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-inputs-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function write(...paths: string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), '');
  }
}

const namesOf = async (path: string): Promise<string[]> =>
  (await findInputs([join(folder, path)])).files.map(({ name }) => name);

describe('findInputs', () => {
  it('finds the images of a folder under any name, in the order of their names', async () => {
    await write('in/photo 10.jpg', 'in/photo 9.JPG', 'in/two\nlines.png', 'in/[a]*.webp', 'in/-o.gif', 'in/notes.txt');
    const names = ['-o.gif', '[a]*.webp', 'photo 9.JPG', 'photo 10.jpg', 'two\nlines.png'];
    expect(await namesOf('in')).toEqual(names);
    expect(await namesOf('in/*')).toEqual(names);
  });

  it('follows links to files and other folders', async () => {
    await write('in/a.png', 'out/b.png', 'out/sub/c.png');
    await symlink('../out/b.png', join(folder, 'in', 'link.png'));
    await symlink('../out', join(folder, 'in', 'more'));
    await symlink('nowhere', join(folder, 'in', 'broken.png'));
    expect(await namesOf('in')).toEqual(['a.png', 'link.png', 'more/b.png', 'more/sub/c.png']);
  });

  it('finds each image once where folders lead to each other, inside and outside', async () => {
    const letters = ['a', 'b', 'c', 'd', 'e', 'f'];
    for (const place of ['in', 'out']) {
      for (const from of letters) {
        await write(`${place}/${from}/x.png`);
        for (const to of letters) await symlink(`../${to}`, join(folder, place, from, `to-${to}`));
        await symlink('../..', join(folder, place, from, 'up'));
      }
    }
    await symlink('../../out', join(folder, 'in', 'a', 'out'));
    const names = await namesOf('in');
    expect(names.filter((name) => !name.includes('out'))).toEqual(letters.map((letter) => `${letter}/x.png`));
    expect(names.length).toBeLessThanOrEqual(letters.length * 3);
  });
});
