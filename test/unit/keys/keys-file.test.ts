import { readFile, stat, symlink, writeFile, chmod } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { addKey, removeKey } from '../../../src/keys/edit-keys.js';
import { parseKey } from '../../../src/keys/key-text.js';
import { MAX_KEYS, readKeysFile, type KeysFile } from '../../../src/keys/keys-file.js';
import { newKeysFile } from '../../support/keys.js';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** The content of a good file with one key, changed by `change`, as it would be read. */
async function read(change: (file: Mutable<KeysFile>) => unknown): Promise<unknown> {
  const path = await newKeysFile();
  await addKey(path, { name: 'camera', scopes: ['infer'] });
  const file = JSON.parse(await readFile(path, 'utf8')) as KeysFile;
  await writeFile(path, JSON.stringify(change(file) ?? file));
  return readKeysFile(path);
}

describe('a key', () => {
  it('is printed, and kept as a hash', async () => {
    const path = await newKeysFile();
    const text = await addKey(path, { name: 'camera', scopes: ['infer', 'models'], quotas: { imagesAtOnce: 4 } });
    const { id, secret } = parseKey(text)!;
    expect(Buffer.from(secret, 'base64url').length).toBe(32);
    const written = await readFile(path, 'utf8');
    expect(written).not.toContain(secret);
    const { keys } = await readKeysFile(path);
    expect(keys[0]).toMatchObject({ id, name: 'camera', scopes: ['infer', 'models'], quotas: { imagesAtOnce: 4 } });
    expect(keys[0]!.hash).toMatchObject({ algorithm: 'scrypt', N: 16384, r: 8, p: 1 });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('is added to others, once by a name, and revoked', async () => {
    const path = await newKeysFile();
    await addKey(path, { name: 'one', scopes: ['infer'] });
    await addKey(path, { name: 'two', scopes: ['admin'] });
    await expect(addKey(path, { name: 'two', scopes: ['admin'] })).rejects.toThrow('has a key "two" already');
    await removeKey(path, 'one');
    expect((await readKeysFile(path)).keys.map(({ name }) => name)).toEqual(['two']);
    await expect(removeKey(path, 'one')).rejects.toThrow('has no key "one"');
  });

  it('is written where a link leads, with the mode that was there', async () => {
    const path = await newKeysFile();
    await addKey(path, { name: 'one', scopes: ['infer'] });
    await chmod(path, 0o640);
    const link = join(dirname(path), 'link.json');
    await symlink(path, link);
    await addKey(link, { name: 'two', scopes: ['infer'] });
    expect((await readKeysFile(path)).keys).toHaveLength(2);
    expect((await stat(path)).mode & 0o777).toBe(0o640);
  });

  it('is not added to a file that is no good', async () => {
    const path = await newKeysFile();
    await writeFile(path, '{"keys": 1}');
    await expect(addKey(path, { name: 'one', scopes: ['infer'] })).rejects.toThrow('has a fault at keys');
    expect(await readFile(path, 'utf8')).toBe('{"keys": 1}');
    await expect(addKey(await newKeysFile(), { name: 'a\nb', scopes: ['infer'] })).rejects.toThrow('keys[0].name');
  });
});

describe('a file that is no good is refused with its fault', () => {
  it.each<[string, (file: Mutable<KeysFile>) => unknown, string]>([
    ['a list', () => [], 'at the file: '],
    ['an unknown scope', (file) => void (file.keys[0]!.scopes = ['all' as 'infer']), 'at keys[0].scopes[0]: '],
    ['no scope', (file) => void (file.keys[0]!.scopes = []), 'at keys[0].scopes: '],
    ['a word too many', (file) => ({ ...file, version: 2 }), 'at the file: Unrecognized key: "version"'],
    [
      'two of an id',
      (file) => void file.keys.push({ ...file.keys[0]!, name: 'b' }),
      'at keys[1].id: is that of another',
    ],
    [
      'two of a name',
      (file) => void file.keys.push({ ...file.keys[0]!, id: 'abcd' }),
      'keys[1].name: is that of another',
    ],
    ['a quota of nothing', (file) => void (file.quotas = { requestsPerSecond: 0 }), 'at quotas.requestsPerSecond: '],
    ['another hash', (file) => void (file.keys[0]!.hash.algorithm = 'md5' as 'scrypt'), 'at keys[0].hash.algorithm: '],
    [
      'a huge scrypt',
      (file) => void (file.keys[0]!.hash.N = 2 ** 20),
      'at keys[0].hash: N and r take more than 64 MiB',
    ],
    ['no power of two', (file) => void (file.keys[0]!.hash.N = 1000), 'at keys[0].hash.N: must be a power of two'],
    ['a short digest', (file) => void (file.keys[0]!.hash.digest = 'AAAA'), 'keys[0].hash.digest: must be 32 bytes'],
    ['a day that is none', (file) => void (file.keys[0]!.expires = 'tomorrow'), 'at keys[0].expires: '],
    ['a path as an id', (file) => void (file.keys[0]!.id = '../x'), 'at keys[0].id: '],
    [
      'too many keys',
      (file) => ({ keys: Array.from({ length: MAX_KEYS + 1 }, () => file.keys[0]!) }),
      'at keys: Too big',
    ],
  ])('%s', async (_, change, fault) => {
    await expect(read(change)).rejects.toThrow(fault);
  });

  it('one that is no JSON, by its line and without its text', async () => {
    const path = await newKeysFile();
    await writeFile(path, '{\n  "keys": [\n    { "digest": "secretdigest", } ]\n}');
    const error = await readKeysFile(path).catch((thrown: unknown) => thrown as Error);
    expect((error as Error).message).toMatch(/^FULLCONV_KEYS: \/.*keys\.json is not JSON(, line 3)?$/);
  });

  it('one that is not there, is a folder, or is too large', async () => {
    const path = await newKeysFile();
    await expect(readKeysFile(path)).rejects.toThrow('keys.json does not exist');
    await expect(readKeysFile(dirname(path))).rejects.toThrow('is a folder, not a regular file');
    await writeFile(path, ' '.repeat(2 ** 20 + 1));
    await expect(readKeysFile(path)).rejects.toThrow('has 1048577 bytes');
  });
});
