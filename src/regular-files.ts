/**
 * Reads of files that anybody may have put there. Only regular files are opened: a pipe, a socket or a device would block
 * its reader or never end. Every reader says how many bytes it takes at most. A file that changes while it is read is an
 * error.
 *
 * A stamp tells later, without another read, whether a path still has the bytes that were digested. Times and size decide;
 * where they differ, the bytes are digested again, because a copy or a `touch` changes the times alone. What is not seen: a
 * write within one tick of the file system's clock (milliseconds) after the digest.
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync, statSync, type BigIntStats, type Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';

/** A file that is not read, and why. The message is a predicate without the path: `is a pipe, not a regular file`. */
export class FileRefused extends Error {
  override name = 'FileRefused';
}

/** The digested bytes of a path, and what the system said of the file when they were read. Plain data. */
export interface FileStamp {
  /** sha256 of the bytes, hexadecimal. */
  readonly sha256: string;
  readonly size: number;
  readonly inode: bigint;
  /** Nanoseconds since 1970: when bytes were written last, and when anything of the file changed last. */
  readonly writtenNs: bigint;
  readonly changedNs: bigint;
}

/** A file in a folder that is said elsewhere, as it was when it was digested. */
export interface StampedFile {
  readonly name: string;
  readonly stamp: FileStamp;
}

/** Bytes read and digested at a time: at most two milliseconds of a core. */
const PIECE_BYTES = 2 ** 20;

/** A pipe without a writer would otherwise block the open itself. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK;

/** Open a regular file, or a link to one. Throws FileRefused for anything else, and the system's errors. */
export async function openRegular(path: string): Promise<FileHandle> {
  // Opening some devices already does something.
  refuseIrregular(await stat(path));
  const handle = await open(path, OPEN_FLAGS);
  try {
    refuseIrregular(await handle.stat());
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** As openRegular, for a thread that may block. The caller closes the descriptor. */
export function openRegularSync(path: string): number {
  refuseIrregular(statSync(path));
  const descriptor = openSync(path, OPEN_FLAGS);
  try {
    refuseIrregular(fstatSync(descriptor));
    return descriptor;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** All bytes of a regular file. Throws FileRefused if it has more than `maxBytes`, and as openRegular does. */
export async function readBounded(path: string, maxBytes: number): Promise<Buffer<ArrayBuffer>> {
  const handle = await openRegular(path);
  try {
    const before = await handle.stat({ bigint: true });
    const size = boundedSize(before, maxBytes);
    const bytes = await readExactly(handle, size, 0);
    refuseChanged(before, await handle.stat({ bigint: true }));
    return bytes;
  } finally {
    await handle.close();
  }
}

/** `length` bytes of an open file from `position` on, in a new buffer. Throws FileRefused if the file is shorter. */
export async function readExactly(handle: FileHandle, length: number, position: number): Promise<Buffer<ArrayBuffer>> {
  const buffer = Buffer.from(new ArrayBuffer(length));
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw new FileRefused('ended while it was read');
    done += bytesRead;
  }
  return buffer;
}

/** Digest a regular file of at most `maxBytes`, which is never whole in memory. Throws as readBounded does. */
export async function digestFile(path: string, maxBytes: number): Promise<FileStamp> {
  const handle = await openRegular(path);
  try {
    const before = await handle.stat({ bigint: true });
    const size = boundedSize(before, maxBytes);
    const hash = createHash('sha256');
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, size));
    for (let done = 0; done < size;) {
      const { bytesRead } = await handle.read(piece, 0, Math.min(piece.length, size - done), done);
      if (bytesRead === 0) throw new FileRefused('ended while it was read');
      hash.update(piece.subarray(0, bytesRead));
      done += bytesRead;
    }
    refuseChanged(before, await handle.stat({ bigint: true }));
    return stampOf(before, hash);
  } finally {
    await handle.close();
  }
}

/** As digestFile, for a thread that may block. */
export function digestFileSync(path: string, maxBytes: number): FileStamp {
  const descriptor = openRegularSync(path);
  try {
    const before = fstatSync(descriptor, { bigint: true });
    const size = boundedSize(before, maxBytes);
    const hash = createHash('sha256');
    const piece = Buffer.alloc(Math.min(PIECE_BYTES, size));
    for (let done = 0; done < size;) {
      const bytesRead = readSync(descriptor, piece, 0, Math.min(piece.length, size - done), done);
      if (bytesRead === 0) throw new FileRefused('ended while it was read');
      hash.update(piece.subarray(0, bytesRead));
      done += bytesRead;
    }
    refuseChanged(before, fstatSync(descriptor, { bigint: true }));
    return stampOf(before, hash);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * What became of a path since it was digested. `same`: it has the same bytes. `replaced`: another file is there, or none;
 * whoever has the old one open or mapped still has its bytes. `rewritten`: the bytes of the file itself have changed, also
 * for those who have it open. A file that cannot be read any more counts as one of these.
 */
export type Change = 'same' | 'replaced' | 'rewritten';

/** A path whose bytes were digested. It digests a file again only if its times differ from all that it knows of. */
export class DigestedPath {
  readonly path: string;
  readonly #sha256: string;
  readonly #size: number;
  /** The file that has the digested bytes. */
  #same: Times;
  /** The file seen last that has others. */
  #other: { readonly times: Times; readonly change: Change } | undefined;

  constructor(path: string, stamp: FileStamp) {
    this.path = path;
    this.#sha256 = stamp.sha256;
    this.#size = stamp.size;
    this.#same = stamp;
  }

  async change(): Promise<Change> {
    const now = await stat(this.path, { bigint: true }).then(timesOf, () => undefined);
    const known = this.#known(now);
    if (known !== undefined) return known;
    const again = now!.size === this.#size ? await digestFile(this.path, this.#size).catch(() => undefined) : undefined;
    return this.#judge(now!, again);
  }

  /** As `change`, for a thread that may block. */
  changeSync(): Change {
    return this.#changeFrom(attempt(() => timesOf(statSync(this.path, { bigint: true }))));
  }

  /** Whether the file itself has other bytes now. Blocks; a file in its place is not digested. */
  isRewrittenSync(): boolean {
    const now = attempt(() => timesOf(statSync(this.path, { bigint: true })));
    return now?.inode === this.#same.inode && this.#changeFrom(now) === 'rewritten';
  }

  #changeFrom(now: Times | undefined): Change {
    const known = this.#known(now);
    if (known !== undefined) return known;
    const again = now!.size === this.#size ? attempt(() => digestFileSync(this.path, this.#size)) : undefined;
    return this.#judge(now!, again);
  }

  #known(now: Times | undefined): Change | undefined {
    if (now === undefined) return 'replaced';
    if (areEqual(now, this.#same)) return 'same';
    return this.#other !== undefined && areEqual(now, this.#other.times) ? this.#other.change : undefined;
  }

  #judge(now: Times, again: FileStamp | undefined): Change {
    if (again?.sha256 === this.#sha256) {
      this.#same = again;
      return 'same';
    }
    const change = now.inode === this.#same.inode ? 'rewritten' : 'replaced';
    this.#other = { times: now, change };
    return change;
  }
}

/** What the system says of a file; it differs if its bytes may differ. */
type Times = Omit<FileStamp, 'sha256'>;

function timesOf({ size, ino, mtimeNs, ctimeNs }: BigIntStats): Times {
  return { size: Number(size), inode: ino, writtenNs: mtimeNs, changedNs: ctimeNs };
}

function areEqual(a: Times, b: Times): boolean {
  return a.inode === b.inode && a.size === b.size && a.writtenNs === b.writtenNs && a.changedNs === b.changedNs;
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function stampOf(stats: BigIntStats, hash: Hash): FileStamp {
  return { sha256: hash.digest('hex'), ...timesOf(stats) };
}

function boundedSize({ size }: BigIntStats, maxBytes: number): number {
  if (size > maxBytes) throw new FileRefused(`has ${size.toString()} bytes; at most ${maxBytes} are allowed`);
  return Number(size);
}

function refuseChanged(before: BigIntStats, after: BigIntStats): void {
  if (before.size !== after.size || before.mtimeNs !== after.mtimeNs) {
    throw new FileRefused('changed while it was read');
  }
}

function refuseIrregular(found: Stats | BigIntStats): void {
  if (!found.isFile()) throw new FileRefused(`is ${kindOf(found)}, not a regular file`);
}

function kindOf(found: Stats | BigIntStats): string {
  if (found.isDirectory()) return 'a folder';
  if (found.isFIFO()) return 'a pipe';
  if (found.isSocket()) return 'a socket';
  return 'a device';
}
