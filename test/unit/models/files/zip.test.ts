/** Zip archives: what is in them comes out; what is wrong with them is said, before any of it is unpacked. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { openZip, type ZipFile } from '../../../../src/models/files/zip.js';
import { inFolder } from '../../../support/import.js';
import { zip, type ZipMember } from '../../../support/zip.js';

const text = Buffer.from('once upon a time '.repeat(1000));
const MEMBERS: readonly ZipMember[] = [
  { name: 'stored.txt', data: text },
  { name: 'folder/deflated.txt', data: text, deflated: true },
  { name: 'folder/', data: Buffer.alloc(0) },
  { name: 'empty', data: Buffer.alloc(0), deflated: true },
];

function opened<T>(bytes: Buffer, use: (archive: ZipFile, folder: string) => Promise<T>): Promise<T> {
  return inFolder(async (folder) => {
    const file = join(folder, 'archive.zip');
    await writeFile(file, bytes);
    const archive = await openZip(file);
    try {
      return await use(archive, folder);
    } finally {
      await archive.close();
    }
  });
}

const readAll = (archive: ZipFile): Promise<Buffer[]> =>
  Promise.all([...archive.entries.values()].map((entry) => archive.read(entry, 1e6)));

describe('openZip', () => {
  it.each([
    ['', {}],
    ['with sizes of 64 bits', { large: true }],
    ['with a comment', { comment: 'made by hand' }],
  ])('reads stored and deflated entries %s', async (_, options) => {
    await opened(zip(MEMBERS, options), async (archive, folder) => {
      expect([...archive.entries.keys()]).toEqual(['stored.txt', 'folder/deflated.txt', 'empty']);
      expect(await readAll(archive)).toEqual([text, text, Buffer.alloc(0)]);
      const copy = join(folder, 'copy');
      await archive.extract(archive.entries.get('folder/deflated.txt')!, copy, text.length);
      expect(await readFile(copy)).toEqual(text);
    });
  });

  it.each<[string, Partial<ZipMember>, RegExp]>([
    ['encrypted', { flags: 1 }, /is an encrypted zip archive; unpack it with its password first/],
    ['of another method', { method: 14 }, /is packed by method 14; pack it as an ordinary zip/],
    ['that leads out', { name: '../../etc/passwd' }, /leads out of the archive/],
    ['that leads out on Windows', { name: '..\\..\\evil' }, /leads out of the archive/],
    ['with an absolute path', { name: '/etc/passwd' }, /leads out of the archive/],
    ['behind the end', { offset: 1e6 }, /lies outside of the archive/],
    ['of a size that it cannot have', { packedSize: 1e9 }, /lies outside of the archive|two different sizes/],
    ['given twice', { name: 'stored.txt' }, /is given twice/],
    ['in the place of another', { offset: 0 }, /is given twice/],
  ])('refuses an entry %s', async (_, change, reason) => {
    const bytes = zip([...MEMBERS, { name: 'wrong', data: text, ...change }]);
    await expect(opened(bytes, readAll)).rejects.toThrow(reason);
  });

  it('gives no more than the list says: a bomb ends where it was to end', async () => {
    const bomb = { name: 'bomb', data: Buffer.alloc(1e7), deflated: true };
    await expect(opened(zip([{ ...bomb, size: 10 }]), readAll)).rejects.toThrow('does not have the 10 bytes');
    await expect(opened(zip([bomb]), readAll)).rejects.toThrow('has 10000000 bytes; at most 1000000 are allowed');
    await expect(opened(zip([{ ...bomb, size: 900_000, data: Buffer.alloc(100) }]), readAll)).rejects.toThrow(
      'does not have the 900000 bytes',
    );
  });

  it('tells every cut from a fault of the program', async () => {
    const bytes = zip(MEMBERS);
    for (let length = 0; length < bytes.length; length += 97) {
      await expect(opened(bytes.subarray(0, length), readAll)).rejects.toBeInstanceOf(ModelFileError);
    }
  });

  it('survives flipped bits', async () => {
    const bytes = zip(MEMBERS);
    const list = bytes.length - 400;
    for (let at = list; at < bytes.length; at += 3) {
      const flipped = Buffer.from(bytes);
      flipped[at]! ^= 1 << (at % 8);
      await opened(flipped, readAll).catch((error: unknown) => expect(error).toBeInstanceOf(ModelFileError));
    }
  });
});
