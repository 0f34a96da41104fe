/**
 * A file that is not whole yet: FILE.part, and beside it FILE.part.json, which tells what it is a part of, so that parts
 * of different files are never joined. FILE itself is there only when it is whole.
 */
import { open, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';

/** What a part is a part of. */
export interface PartOf {
  readonly url: string;
  /** Strong entity tag of the content. */
  readonly etag?: string | undefined;
  readonly sha256?: string | undefined;
}

export interface Part {
  /** How many there are, from the beginning of the file. */
  readonly bytes: number;
  readonly of: PartOf;
}

const partOf = (file: string): string => `${file}.part`;
const noteOf = (file: string): string => `${file}.part.json`;

/** Where the bytes are until the file is whole. */
export { partOf as partPath };

/** What there is of the file; undefined where there is nothing, or nobody knows what it is. */
export async function readPart(file: string): Promise<Part | undefined> {
  try {
    const [{ size }, note] = await Promise.all([stat(partOf(file)), readFile(noteOf(file), 'utf8')]);
    const of: unknown = JSON.parse(note);
    return size === 0 || typeof of !== 'object' || of === null ? undefined : { bytes: size, of: of as PartOf };
  } catch {
    return undefined;
  }
}

/** Bytes there are of the file, whatever they are. */
export async function partSize(file: string): Promise<number> {
  return stat(partOf(file)).then(
    ({ size }) => size,
    () => 0,
  );
}

/** Open the part to append from byte `offset` on; what was there beyond it is cut off. The caller closes it. */
export async function openPart(file: string, of: PartOf, offset: number): Promise<FileHandle> {
  // Without its note a part is nothing: whatever happens in between, no part has the note of another.
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

/** The part is the file. */
export async function finishPart(file: string): Promise<void> {
  await rename(partOf(file), file);
  await rm(noteOf(file), { force: true });
}

export async function dropPart(file: string): Promise<void> {
  await Promise.all([partOf(file), noteOf(file)].map((path) => rm(path, { force: true })));
}
