import { execFileSync } from 'node:child_process';
import {
  chmod,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  isFile,
  isTaken,
  keepJson,
  makeWhole,
  readKept,
  removeAbandoned,
  replaceFolder,
  restoreFolder,
  writeWhole,
} from '../../src/files.js';

/** The name that nothing can be moved from. */
const stuck = vi.hoisted((): { path: string | undefined } => ({ path: undefined }));
vi.mock('node:fs/promises', async (importOriginal) => {
  const original = await importOriginal<typeof import('node:fs/promises')>();
  const rename: typeof original.rename = (from, to) =>
    from === stuck.path ? Promise.reject(new Error('the disk is full')) : original.rename(from, to);
  return { ...original, rename };
});

let root: string;
let at: (name: string) => string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-files-'));
  at = (name) => join(root, name);
});
afterEach(async () => {
  stuck.path = undefined;
  await rm(root, { recursive: true });
});

/** A folder with one file, whose content is given. */
async function folder(name: string, content: string): Promise<string> {
  await mkdir(at(name));
  await writeFile(join(at(name), 'content'), content);
  return at(name);
}
const contentOf = (path: string): Promise<string> => readFile(join(path, 'content'), 'utf8');

describe('isFile and isTaken', () => {
  it('tell files, folders, links and nothing apart', async () => {
    await writeFile(at('file'), '');
    await symlink(at('file'), at('link'));
    await symlink(at('nowhere'), at('dangling'));
    const names = ['file', 'link', 'dangling', '', 'nothing'];
    expect(await Promise.all(names.map((name) => isFile(at(name))))).toEqual([true, true, false, false, false]);
    expect(await Promise.all(names.map((name) => isTaken(at(name))))).toEqual([true, true, true, true, false]);
  });
});

describe('makeWhole', () => {
  it('puts a file in the place of another, and makes the folders above it', async () => {
    for (const content of ['one', 'two']) await makeWhole(at('deep/file'), (path) => writeFile(path, content));
    expect(await readFile(at('deep/file'), 'utf8')).toBe('two');
    expect(await readdir(at('deep'))).toEqual(['file']);
  });

  it('leaves what was there, and nothing else, when it cannot be made', async () => {
    await writeFile(at('file'), 'old');
    const making = makeWhole(at('file'), async (path) => {
      await writeFile(path, 'half of');
      throw new Error('no more');
    });
    await expect(making).rejects.toThrow('no more');
    expect(await readdir(root)).toEqual(['file']);
    expect(await readFile(at('file'), 'utf8')).toBe('old');
  });

  it('refuses a folder where one is', async () => {
    await folder('there', 'old');
    const making = makeWhole(at('there'), async (path) => {
      await mkdir(path);
      await writeFile(join(path, 'content'), 'new');
    });
    await expect(making).rejects.toThrow(/ENOTEMPTY|EEXIST/);
    expect(await readdir(root)).toEqual(['there']);
    expect(await contentOf(at('there'))).toBe('old');
  });

  it('takes a name as long as file systems allow', async () => {
    const name = 'ä'.repeat(127);
    await makeWhole(at(name), (path) => writeFile(path, 'long'));
    expect(await readFile(at(name), 'utf8')).toBe('long');
  });
});

describe('writeWhole', () => {
  it('replaces a file, and does not write into it', async () => {
    await writeWhole(at('deep/file'), 'old');
    await link(at('deep/file'), at('kept'));
    await writeWhole(at('deep/file'), new TextEncoder().encode('new'));
    expect(await readFile(at('deep/file'), 'utf8')).toBe('new');
    expect(await readFile(at('kept'), 'utf8')).toBe('old');
    expect(await readdir(at('deep'))).toEqual(['file']);
  });

  it('leaves links and modes as they are', async () => {
    await writeFile(at('file'), 'old');
    await chmod(at('file'), 0o666);
    await symlink('file', at('link'));
    await writeWhole(at('link'), 'new');
    expect(await readFile(at('file'), 'utf8')).toBe('new');
    expect((await lstat(at('link'))).isSymbolicLink()).toBe(true);
    expect((await stat(at('file'))).mode & 0o777).toBe(0o666);
  });

  it.skipIf(process.platform === 'win32')('writes into a pipe', async () => {
    execFileSync('mkfifo', [at('pipe')]);
    const [read] = await Promise.all([readFile(at('pipe'), 'utf8'), writeWhole(at('pipe'), 'through')]);
    expect(read).toBe('through');
    expect((await stat(at('pipe'))).isFIFO()).toBe(true);
  });

  it.skipIf(process.getuid?.() === 0)('refuses a file that may not be written', async () => {
    await writeFile(at('file'), 'old', { mode: 0o444 });
    await expect(writeWhole(at('file'), 'new')).rejects.toThrow('EACCES');
    expect(await readFile(at('file'), 'utf8')).toBe('old');
  });
});

describe('replaceFolder', () => {
  it('moves a draft to a place that is free, or taken', async () => {
    for (const content of ['one', 'two']) {
      await replaceFolder(await folder('draft', content), at('place'), at('aside'));
      expect(await readdir(root)).toEqual(['place']);
      expect(await contentOf(at('place'))).toBe(content);
    }
  });

  it('brings the old folder back when the draft cannot be moved', async () => {
    await folder('place', 'old');
    stuck.path = await folder('draft', 'new');
    await expect(replaceFolder(at('draft'), at('place'), at('aside'))).rejects.toThrow('the disk is full');
    expect(await readdir(root)).toEqual(['draft', 'place']);
    expect(await contentOf(at('place'))).toBe('old');
  });

  it('leaves the old folder where it is when it cannot be moved aside', async () => {
    stuck.path = await folder('place', 'old');
    await folder('draft', 'new');
    await expect(replaceFolder(at('draft'), at('place'), at('aside'))).rejects.toThrow('the disk is full');
    expect(await readdir(root)).toEqual(['draft', 'place']);
    expect(await contentOf(at('place'))).toBe('old');
  });
});

describe('restoreFolder', () => {
  it('brings back what a process that died has moved aside', async () => {
    await folder('aside', 'old');
    await restoreFolder(at('place'), at('aside'));
    expect(await readdir(root)).toEqual(['place']);
    expect(await contentOf(at('place'))).toBe('old');
  });

  it('removes what was moved aside where the new folder is in place', async () => {
    await folder('aside', 'old');
    await folder('place', 'new');
    await restoreFolder(at('place'), at('aside'));
    expect(await readdir(root)).toEqual(['place']);
    expect(await contentOf(at('place'))).toBe('new');
  });
});

describe('removeAbandoned', () => {
  it('removes what has been unfinished for a day', async () => {
    const dayAgo = Date.now() / 1000 - 24 * 3600 - 10;
    for (const name of ['old.tmp', 'new.tmp', 'old']) await folder(name, '');
    for (const name of ['old.tmp', 'old']) await utimes(at(name), dayAgo, dayAgo);
    await removeAbandoned(root);
    await removeAbandoned(at('nowhere'));
    expect((await readdir(root)).sort()).toEqual(['new.tmp', 'old']);
  });
});

describe('what is kept as JSON', () => {
  const numberOf = (json: unknown): number | undefined => (typeof json === 'number' ? json : undefined);

  it('is read again', async () => {
    await keepJson(at('deep/kept.json'), 5);
    expect(await readKept(at('deep/kept.json'), numberOf)).toBe(5);
  });

  it.each([
    ['not there', undefined],
    ['not JSON', '{"a": '],
    ['something else', '"five"'],
    [
      'another number than was kept',
      JSON.stringify({ value: 6, sha256: createHash('sha256').update('5').digest('hex') }),
    ],
  ])('is nothing where it is %s', async (_, content) => {
    if (content !== undefined) await writeFile(at('kept.json'), content);
    expect(await readKept(at('kept.json'), numberOf)).toBeUndefined();
    const unexpected = (): number => {
      throw new Error('unexpected');
    };
    expect(await readKept(at('kept.json'), unexpected)).toBeUndefined();
  });

  it('is not kept where the disk says no, and nobody is told', async () => {
    await writeFile(at('file'), '');
    await keepJson(at('file/kept.json'), 5);
    expect(await readKept(at('file/kept.json'), numberOf)).toBeUndefined();
  });
});
