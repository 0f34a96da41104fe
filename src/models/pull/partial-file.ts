/**
 * A file that is not whole yet: FILE.part, and beside it a note, FILE.part.json, which tells the source of the part, so
 * that parts of different files are never joined. FILE itself exists only when it is whole.
 */
import { open, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { readBounded } from '../../regular-files.js';

/** The source of a part. */
export interface PartOf {
  readonly url: string;
  /** Strong entity tag of the content. */
  readonly etag?: string | undefined;
  readonly sha256?: string | undefined;
}

export interface Part {
  /** Number of bytes, from the beginning of the file. */
  readonly bytes: number;
  readonly of: PartOf;
}

const MAX_NOTE_BYTES = 2 ** 16;

const partOf = (file: string): string => `${file}.part`;
const noteOf = (file: string): string => `${file}.part.json`;

/** Path of the bytes until the file is whole. */
export { partOf as partPath };

/** The part of a file; undefined if it is missing or empty, or has no valid note. */
export async function readPart(file: string): Promise<Part | undefined> {
  try {
    const [{ size }, note] = await Promise.all([stat(partOf(file)), readBounded(noteOf(file), MAX_NOTE_BYTES)]);
    const of: unknown = JSON.parse(note.toString());
    return size === 0 || typeof of !== 'object' || of === null ? undefined : { bytes: size, of: of as PartOf };
  } catch {
    return undefined;
  }
}

/** Size of the part in bytes, even without a note; 0 if there is none. */
export async function partSize(file: string): Promise<number> {
  return stat(partOf(file)).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Open the part to append from byte `offset` on; bytes beyond it are cut off. The caller closes the handle. */
export async function openPart(file: string, of: PartOf, offset: number): Promise<FileHandle> {
  // The old note goes first: a part without a note is ignored, so a crash in between leaves no part with a wrong note.
  await rm(noteOf(file), { force: true });
  const handle = await open(partOf(file), offset === 0 ? 'w' : 'a');
  try {
    await handle.truncate(offset);
    await writeFile(noteOf(file), JSON.stringify(of));
  } catch (error) {
    await handle.close();
    throw error;
  }
  return handle;
}

/** Rename the part to the file. */
export async function finishPart(file: string): Promise<void> {
  await rename(partOf(file), file);
  await rm(noteOf(file), { force: true });
}

export async function dropPart(file: string): Promise<void> {
  await Promise.all([partOf(file), noteOf(file)].map((path) => rm(path, { force: true })));
}
