/**
 * Access to the files of models: every read of one goes through here (eslint.config.js sees to it). They are regular
 * files of bounded size (regular-files.ts); those that a model names lie inside its folder. What is wrong is a
 * ModelFileError naming the file.
 */
import { createHash } from 'node:crypto';
import { realpath, type FileHandle } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { createFile } from '../../files.js';
import {
  DigestedPath,
  digestFile,
  FileRefused,
  openRegular,
  openRegularSync,
  readBounded,
  readExactly as readBytes,
  type FileStamp,
  type StampedFile,
} from '../../regular-files.js';
import { ModelFileError } from './model-file-error.js';

/** Limit in bytes for a file of weights; the largest classifiers have two to three gigabytes. */
export const MAX_WEIGHTS_BYTES = 8 * 2 ** 30;

/** Open a file. Throws ModelFileError if it is missing or no regular file. */
export function openModelFile(file: string): Promise<FileHandle> {
  return explained(file, () => openRegular(file));
}

/** As openModelFile, for a thread that may block. The caller closes the descriptor. */
export function openModelFileSync(file: string): number {
  try {
    return openRegularSync(file);
  } catch (cause) {
    throw asModelFileError(file, cause);
  }
}

/** All bytes of a file. Throws ModelFileError if it has more than `maxBytes`, or cannot be read. */
export function readModelFile(file: string, maxBytes: number): Promise<Buffer<ArrayBuffer>> {
  return explained(file, () => readBounded(file, maxBytes));
}

/** `length` bytes of an open file from `position` on, in a new buffer. Throws ModelFileError if the file is shorter. */
export function readExactly(
  handle: FileHandle,
  file: string,
  length: number,
  position: number,
): Promise<Buffer<ArrayBuffer>> {
  return explained(file, () => readBytes(handle, length, position));
}

/** The digest of a file of weights. Throws ModelFileError. */
export function stampModelFile(file: string): Promise<FileStamp> {
  return explained(file, () => digestFile(file, MAX_WEIGHTS_BYTES));
}

/** Bytes copied at a time. */
const PIECE_BYTES = 2 ** 20;

/** Copy a file to a path where there is none. Returns the sha256 of what was copied. Throws ModelFileError. */
export async function copyModelFile(from: string, to: string): Promise<string> {
  const source = await openModelFile(from);
  try {
    const target = await createFile(to);
    try {
      const hash = createHash('sha256');
      const piece = Buffer.alloc(PIECE_BYTES);
      for (let position = 0; ;) {
        const { bytesRead } = await explained(from, () => source.read(piece, 0, piece.length, position));
        if (bytesRead === 0) return hash.digest('hex');
        const bytes = piece.subarray(0, bytesRead);
        hash.update(bytes);
        await target.writeFile(bytes);
        position += bytesRead;
        if (position > MAX_WEIGHTS_BYTES) {
          throw new ModelFileError(from, 'file', `has more than ${MAX_WEIGHTS_BYTES} bytes`);
        }
      }
    } finally {
      await target.close();
    }
  } finally {
    await source.close();
  }
}

/** A file whose bytes are not those that were digested. */
export class ChangedFileError extends ModelFileError {
  override name = 'ChangedFileError';
  /** Whether the file itself was written to, so that sessions that have it mapped see the change. */
  readonly isRewritten: boolean;

  constructor(file: string, isRewritten: boolean) {
    super(file, 'file', `was ${isRewritten ? 'rewritten' : 'replaced'} on disk after it was loaded`);
    this.isRewritten = isRewritten;
  }
}

/** Files of weights in a folder, as they were when they were digested. */
export class DigestedFiles {
  readonly #paths: readonly DigestedPath[];

  constructor(folder: string, files: readonly StampedFile[]) {
    this.#paths = files.map(({ name, stamp }) => new DigestedPath(join(folder, name), stamp));
  }

  /** The first file that has changed since then, a rewritten one before others; undefined if none has. */
  async findChanged(): Promise<ChangedFileError | undefined> {
    let found: ChangedFileError | undefined;
    for (const digested of this.#paths) {
      const change = await digested.change();
      if (change === 'rewritten') return new ChangedFileError(digested.path, true);
      if (change === 'replaced') found ??= new ChangedFileError(digested.path, false);
    }
    return found;
  }
}

/**
 * Size in bytes of the file `name` in a folder. Throws ModelFileError if it is not a regular file or a link leads out of
 * the folder; the engine would refuse such links without a reason.
 */
export async function sizeInside(folder: string, name: string): Promise<number> {
  const path = join(folder, name);
  return explained(path, async () => {
    const [root, real] = await Promise.all([realpath(folder), realpath(path)]);
    if (relative(root, real).split(sep)[0] === '..') {
      throw new ModelFileError(path, 'file', "leaves the model's folder through a symbolic link");
    }
    const handle = await openRegular(path);
    try {
      return (await handle.stat()).size;
    } finally {
      await handle.close();
    }
  });
}

async function explained<T>(file: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw asModelFileError(file, cause);
  }
}

function asModelFileError(file: string, cause: unknown): ModelFileError {
  if (cause instanceof ModelFileError) return cause;
  if (cause instanceof FileRefused) return new ModelFileError(file, 'file', cause.message);
  return new ModelFileError(file, 'file', 'cannot be read', { cause });
}
