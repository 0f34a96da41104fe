import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  appendFile,
  copyFile,
  mkdir,
  mkdtemp,
  rename,
  rm,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  DigestedPath,
  digestFile,
  digestFileSync,
  FileRefused,
  openRegular,
  openRegularSync,
  readBounded,
} from '../../src/regular-files.js';

let root: string;
const at = (name: string): string => join(root, name);
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-regular-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

describe('what is no regular file is refused at once, and so is a link to it', () => {
  it.each([
    ['a pipe', () => execFileSync('mkfifo', [at('odd')])],
    ['a folder', () => mkdir(at('odd'))],
    ['a device', () => symlink('/dev/zero', at('odd'))],
    [
      'a socket',
      () =>
        new Promise((resolve) =>
          createServer()
            .listen(at('odd'), () => resolve(undefined))
            .unref(),
        ),
    ],
  ])('%s', async (kind, make) => {
    await make();
    await symlink(at('odd'), at('link'));
    const message = `is ${kind}, not a regular file`;
    for (const path of [at('odd'), at('link')]) {
      await expect(openRegular(path)).rejects.toThrow(message);
      await expect(readBounded(path, 100)).rejects.toThrow(FileRefused);
      await expect(digestFile(path, 100)).rejects.toThrow(message);
      expect(() => openRegularSync(path)).toThrow(message);
      expect(() => digestFileSync(path, 100)).toThrow(message);
    }
  });
});

describe('readBounded', () => {
  it('reads a file that is as large as the limit, and none that is larger', async () => {
    await writeFile(at('file'), 'abcdef');
    expect((await readBounded(at('file'), 6)).toString()).toBe('abcdef');
    await expect(readBounded(at('file'), 5)).rejects.toThrow('has 6 bytes; at most 5 are allowed');
    await truncate(at('file'), 2 ** 40);
    await expect(readBounded(at('file'), 2 ** 20)).rejects.toThrow('has 1099511627776 bytes; at most 1048576');
  });

  it('takes no more than a growing file had, and says that it has changed', async () => {
    await writeFile(at('file'), Buffer.alloc(2 ** 26));
    const reading = readBounded(at('file'), 2 ** 27).catch((error: unknown) => error);
    const over = new AbortController();
    void reading.then(() => over.abort());
    while (!over.signal.aborted) await appendFile(at('file'), 'more');
    const result = await reading;
    if (result instanceof Error) expect(result.message).toBe('changed while it was read');
    else expect(result).toHaveLength(2 ** 26);
  });

  it("passes on the system's error for a file that is not there", async () => {
    await expect(readBounded(at('nowhere'), 1)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

it('a digest is that of all bytes, in a thread that may block and in one that may not', async () => {
  const bytes = Buffer.alloc(3 * 2 ** 20 + 5, 'fullconv');
  await writeFile(at('file'), bytes);
  const stamp = await digestFile(at('file'), Infinity);
  expect(stamp).toMatchObject({ sha256: createHash('sha256').update(bytes).digest('hex'), size: bytes.length });
  expect(digestFileSync(at('file'), Infinity)).toEqual(stamp);
  await expect(digestFile(at('file'), bytes.length - 1)).rejects.toThrow('at most');
});

describe('a digested path', () => {
  const digested = async (): Promise<DigestedPath> => {
    await writeFile(at('file'), 'abcdef');
    return new DigestedPath(at('file'), await digestFile(at('file'), 6));
  };
  /** All answers, which must agree. */
  const changeOf = async (path: DigestedPath): Promise<string> => {
    const change = await path.change();
    expect(path.changeSync()).toBe(change);
    expect(await path.change()).toBe(change);
    expect(path.isRewrittenSync()).toBe(change === 'rewritten');
    return change;
  };

  it.each<[string, () => unknown]>([
    ['nothing was done', () => undefined],
    ['its times were changed', () => utimes(at('file'), 1, 1)],
    ['the same bytes were written again', () => writeFile(at('file'), 'abcdef')],
    [
      'a copy took its place',
      async () => {
        await copyFile(at('file'), at('copy'));
        await rename(at('copy'), at('file'));
      },
    ],
  ])('is the same where %s', async (_, act) => {
    const path = await digested();
    await act();
    expect(await changeOf(path)).toBe('same');
  });

  it.each<[string, () => unknown]>([
    ['other bytes of the same number were written', () => writeFile(at('file'), 'abcdeF')],
    ['it was cut off', () => truncate(at('file'), 3)],
    ['it has grown', () => appendFile(at('file'), 'g')],
    [
      'other bytes were written and the time was put back',
      async () => {
        await writeFile(at('file'), 'abcdeF');
        await utimes(at('file'), 1, 1);
      },
    ],
  ])('is rewritten where %s', async (_, act) => {
    const path = await digested();
    await utimes(at('file'), 1, 1);
    expect(await path.change()).toBe('same');
    await act();
    expect(await changeOf(path)).toBe('rewritten');
    await writeFile(at('file'), 'abcdef');
    expect(await changeOf(path)).toBe('same');
  });

  it.each<[string, () => unknown]>([
    ['it was removed', () => rm(at('file'))],
    [
      'another file took its place',
      async () => {
        await writeFile(at('other'), 'ABCDEF');
        await rename(at('other'), at('file'));
      },
    ],
    [
      'a pipe took its place',
      async () => {
        await rm(at('file'));
        execFileSync('mkfifo', [at('file')]);
      },
    ],
  ])('is replaced where %s', async (_, act) => {
    const path = await digested();
    await act();
    // The system may give the number of a removed file to the next one.
    expect(['replaced', 'rewritten']).toContain(await path.change());
  });

  it('is replaced where another file took its place while it was still there', async () => {
    const path = await digested();
    await writeFile(at('other'), 'ABCDEF');
    await rename(at('other'), at('file'));
    expect(await changeOf(path)).toBe('replaced');
  });
});
