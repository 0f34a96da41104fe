import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { whileLocked } from '../../../src/models/folder-lock.js';

const MODULE = fileURLToPath(new URL('../../../dist/models/folder-lock.js', import.meta.url));

describe('a lock', () => {
  let root: string;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'fullconv-lock-'));
  });
  afterAll(() => rm(root, { recursive: true }));

  const take = (file: string): Promise<string> => whileLocked(join(root, file), () => Promise.resolve('worked'));

  it('is there while the work is done, for one at a time', async () => {
    const inside = await whileLocked(join(root, 'a'), async () => {
      await expect(take('a')).rejects.toThrow();
      return readdir(root);
    });
    expect(inside).toEqual(['a']);
    expect(await readdir(root)).toEqual([]);
    expect(await take('a')).toBe('worked');
  });

  it('of a dead process is taken over, that of another machine is not', async () => {
    await writeFile(join(root, 'dead'), JSON.stringify({ pid: 2 ** 30, host: hostname() }));
    expect(await take('dead')).toBe('worked');
    await writeFile(join(root, 'far'), JSON.stringify({ pid: 1, host: 'another.example' }));
    await expect(take('far')).rejects.toThrow('another.example');
    await rm(join(root, 'far'));
  });

  it.skipIf(process.platform === 'win32')('is not left behind by one that could not write it', async () => {
    const script = `
      const { whileLocked } = await import(${JSON.stringify(MODULE)});
      await whileLocked(${JSON.stringify(join(root, 'full'))}, () => 'worked').then(console.log, ({ code }) => console.log(code));
    `;
    // No file may have a byte, as on a disk that is full.
    const command = 'ulimit -f 0; exec "$0" --input-type=module --eval "$1"';
    const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, script]);
    expect(stdout).toBe('EFBIG\n');
    expect(await readdir(root)).toEqual([]);
    expect(await take('full')).toBe('worked');
  });
});
