/**
 * Zip archives, hostile until proven otherwise: stored and deflated entries, with the extension for large files (zip64).
 * Opening reads the list at the end of the archive and trusts none of it: every entry lies inside the file, none has the
 * place of another, and their names lead nowhere. How many bytes an entry has is known before any of them is unpacked,
 * and it never gives more. Encrypted archives, and those in several files, are refused as what they are.
 *
 * Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.4.
 */
import type { FileHandle } from 'node:fs/promises';
import { createInflateRaw } from 'node:zlib';
import { createFile } from '../../files.js';
import { openModelFile, readExactly } from './file-access.js';
import { ModelFileError } from './model-file-error.js';

export interface ZipEntry {
  readonly name: string;
  /** Bytes when unpacked. */
  readonly size: number;
  readonly packedSize: number;
  readonly isStored: boolean;
  /** Where its local header begins. */
  readonly offset: number;
}

/** The first bytes of an archive that is not empty. */
export const ZIP_MAGIC = Buffer.from('PK\x03\x04', 'latin1');

const END_BYTES = 22;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
/** A comment may follow the end. */
const MAX_COMMENT_BYTES = 0xffff;
/** Limit for the list of entries; archives of large models have some hundred kilobytes. */
const MAX_LIST_BYTES = 2 ** 24;
/** Limit for the number of entries. */
const MAX_ENTRIES = 100_000;
const PIECE_BYTES = 2 ** 20;

const SIGNATURES = { local: 0x04034b50, entry: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator: 0x07064b50 };
const ENCRYPTED = 1;
const [STORED, DEFLATED] = [0, 8];
/** The id of the extra field with sizes of 64 bits; these values stand in for them. */
const [ZIP64, MAX32] = [1, 0xffffffff];

/** Open an archive; the caller closes it. Throws ModelFileError naming what is wrong. */
export async function openZip(file: string): Promise<ZipFile> {
  const handle = await openModelFile(file);
  try {
    const { size } = await handle.stat();
    return new ZipFile(file, handle, await readEntries({ file, handle, size }));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** An open archive. Its functions throw ModelFileError naming the entry. */
export class ZipFile {
  /** The files in the archive, by name, in its order. */
  readonly entries: ReadonlyMap<string, ZipEntry>;
  readonly #file: string;
  readonly #handle: FileHandle;

  constructor(file: string, handle: FileHandle, entries: ReadonlyMap<string, ZipEntry>) {
    this.#file = file;
    this.#handle = handle;
    this.entries = entries;
  }

  /** Where in the file the packed bytes of an entry begin. */
  async begin(entry: ZipEntry): Promise<number> {
    const header = await readExactly(this.#handle, this.#file, LOCAL_BYTES, entry.offset);
    if (header.readUInt32LE(0) !== SIGNATURES.local) throw this.#error(entry, 'does not begin where the list says');
    const begin = entry.offset + LOCAL_BYTES + header.readUInt16LE(26) + header.readUInt16LE(28);
    const { size } = await this.#handle.stat();
    if (begin + entry.packedSize > size) throw this.#error(entry, 'ends behind the end of the file');
    return begin;
  }

  /** All bytes of an entry. Throws if it has more than `maxBytes`. */
  async read(entry: ZipEntry, maxBytes: number): Promise<Buffer<ArrayBuffer>> {
    const bytes = Buffer.from(new ArrayBuffer(this.#bounded(entry, maxBytes)));
    let done = 0;
    for await (const piece of this.#unpack(entry)) {
      piece.copy(bytes, done);
      done += piece.length;
    }
    return bytes;
  }

  /** Write an entry to a file that does not exist yet. Throws if it has more than `maxBytes`. */
  async extract(entry: ZipEntry, path: string, maxBytes: number): Promise<void> {
    this.#bounded(entry, maxBytes);
    const target = await createFile(path);
    try {
      for await (const piece of this.#unpack(entry)) {
        for (let done = 0; done < piece.length;) done += (await target.write(piece, done)).bytesWritten;
      }
    } finally {
      await target.close();
    }
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }

  #bounded(entry: ZipEntry, maxBytes: number): number {
    if (entry.size <= maxBytes) return entry.size;
    throw this.#error(entry, `has ${entry.size} bytes; at most ${maxBytes} are allowed`);
  }

  /** The unpacked bytes in pieces: as many as the entry has, or an error. */
  async *#unpack(entry: ZipEntry): AsyncGenerator<Buffer, void> {
    let done = 0;
    try {
      const packed = this.#packed(entry);
      for await (const piece of entry.isStored ? packed : inflated(packed)) {
        done += piece.length;
        if (done > entry.size) break;
        yield piece;
      }
    } catch (cause) {
      if (cause instanceof ModelFileError) throw cause;
      throw this.#error(entry, 'cannot be unpacked: the archive is damaged', cause);
    }
    if (done !== entry.size) throw this.#error(entry, `does not have the ${entry.size} bytes that the list says`);
  }

  async *#packed(entry: ZipEntry): AsyncGenerator<Buffer, void> {
    const begin = await this.begin(entry);
    for (let done = 0; done < entry.packedSize; done += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, entry.packedSize - done);
      yield await readExactly(this.#handle, this.#file, length, begin + done);
    }
  }

  #error({ name }: ZipEntry, detail: string, cause?: unknown): ModelFileError {
    return new ModelFileError(this.#file, `entry "${name.slice(0, 200)}"`, detail, { cause });
  }
}

async function* inflated(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  const inflate = createInflateRaw({ chunkSize: PIECE_BYTES });
  // Its errors come out of the loop below.
  const feed = async (): Promise<void> => {
    for await (const piece of packed) {
      if (inflate.destroyed) return;
      if (!inflate.write(piece))
        await new Promise<void>((resolve) => inflate.once('drain', resolve).once('close', resolve));
    }
    if (!inflate.destroyed) inflate.end();
  };
  void feed().catch((error: unknown) => inflate.destroy(error as Error));
  for await (const piece of inflate) yield piece as Buffer;
}

// ---- the list ----------------------------------------------------------------------------------------------------

interface Archive {
  readonly file: string;
  readonly handle: FileHandle;
  readonly size: number;
}

const DAMAGED = 'is a zip archive whose end is missing: it was cut off, or did not arrive whole';

async function readEntries(archive: Archive): Promise<ReadonlyMap<string, ZipEntry>> {
  const { file, handle, size } = archive;
  const list = await findList(archive);
  if (list.end > size || list.begin > list.end || list.end - list.begin > MAX_LIST_BYTES || list.count > MAX_ENTRIES) {
    throw new ModelFileError(file, 'file', 'is a zip archive with an impossible list of entries');
  }
  const bytes = await readExactly(handle, file, list.end - list.begin, list.begin);
  const entries = new Map<string, ZipEntry>();
  const offsets = new Set<number>();
  for (let at = 0, index = 0; index < list.count; index += 1) {
    const fail = (detail: string): ModelFileError => new ModelFileError(file, `entry ${index}`, detail);
    if (at + ENTRY_BYTES > bytes.length || bytes.readUInt32LE(at) !== SIGNATURES.entry)
      throw fail('is not in the list');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => bytes.readUInt16LE(at + field)) as [
      number,
      number,
      number,
    ];
    const next = at + ENTRY_BYTES + nameBytes + extraBytes + commentBytes;
    if (next > bytes.length) throw fail('is cut off');
    const name = bytes.toString('utf8', at + ENTRY_BYTES, at + ENTRY_BYTES + nameBytes);
    const extra = bytes.subarray(at + ENTRY_BYTES + nameBytes, at + ENTRY_BYTES + nameBytes + extraBytes);
    const flags = bytes.readUInt16LE(at + 8);
    const method = bytes.readUInt16LE(at + 10);
    const entry = { name, ...sizesOf(bytes.subarray(at, next), extra), isStored: method === STORED };
    at = next;
    if (name.endsWith('/')) continue;
    const named = (detail: string): ModelFileError => new ModelFileError(file, `entry "${name.slice(0, 200)}"`, detail);
    if (!isInside(name)) throw named('leads out of the archive');
    if ((flags & ENCRYPTED) !== 0) {
      throw new ModelFileError(file, 'file', 'is an encrypted zip archive; unpack it with its password first');
    }
    if (method !== STORED && method !== DEFLATED)
      throw named(`is packed by method ${method}; pack it as an ordinary zip`);
    if (entry.isStored && entry.size !== entry.packedSize) throw named('is stored with two different sizes');
    if (!(entry.offset + LOCAL_BYTES + entry.packedSize <= list.begin)) throw named('lies outside of the archive');
    if (entries.has(name) || offsets.has(entry.offset)) throw named('is given twice');
    entries.set(name, entry);
    offsets.add(entry.offset);
  }
  return entries;
}

/** Sizes and place of an entry; those that do not fit into 32 bits stand in its extra field, in this order. */
function sizesOf(entry: Buffer, extra: Buffer): Pick<ZipEntry, 'size' | 'packedSize' | 'offset'> {
  const short = [24, 20, 42].map((field) => entry.readUInt32LE(field)) as [number, number, number];
  let large = zip64Field(extra);
  const [size, packedSize, offset] = short.map((value) => {
    if (value !== MAX32 || large.length < 8) return value;
    const exact = Number(large.readBigUInt64LE(0));
    large = large.subarray(8);
    return exact;
  }) as [number, number, number];
  return { size, packedSize, offset };
}

function zip64Field(extra: Buffer): Buffer {
  for (let at = 0; at + 4 <= extra.length;) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === ZIP64) return extra.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  return extra.subarray(0, 0);
}

interface List {
  readonly begin: number;
  readonly end: number;
  readonly count: number;
}

async function findList({ file, handle, size }: Archive): Promise<List> {
  const length = Math.min(size, END_BYTES + MAX_COMMENT_BYTES + LOCATOR_BYTES);
  const tail = await readExactly(handle, file, length, size - length);
  let at = tail.length - END_BYTES;
  const isEnd = (): boolean =>
    tail.readUInt32LE(at) === SIGNATURES.end && at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length;
  while (at >= 0 && !isEnd()) at -= 1;
  if (at < 0) throw new ModelFileError(file, 'file', DAMAGED);
  const [disk, firstDisk, , count] = [4, 6, 8, 10].map((field) => tail.readUInt16LE(at + field)) as [
    number,
    number,
    number,
    number,
  ];
  const [bytes, begin] = [tail.readUInt32LE(at + 12), tail.readUInt32LE(at + 16)];
  const locator = at - LOCATOR_BYTES;
  if (locator >= 0 && tail.readUInt32LE(locator) === SIGNATURES.locator) {
    return findList64({ file, handle, size }, Number(tail.readBigUInt64LE(locator + 8)));
  }
  if (disk !== 0 || firstDisk !== 0)
    throw new ModelFileError(file, 'file', 'is a part of a zip archive in several files');
  return { begin, end: begin + bytes, count };
}

async function findList64({ file, handle, size }: Archive, position: number): Promise<List> {
  if (!(position + END64_BYTES <= size)) throw new ModelFileError(file, 'file', DAMAGED);
  const end = await readExactly(handle, file, END64_BYTES, position);
  if (end.readUInt32LE(0) !== SIGNATURES.end64) throw new ModelFileError(file, 'file', DAMAGED);
  const [count, bytes, begin] = [32, 40, 48].map((field) => Number(end.readBigUInt64LE(field))) as [
    number,
    number,
    number,
  ];
  return { begin, end: begin + bytes, count };
}

function isInside(name: string): boolean {
  const parts = name.split(/[\\/]/);
  return name !== '' && !name.includes('\0') && parts[0] !== '' && !parts.includes('..') && !/^[a-z]:/i.test(name);
}
