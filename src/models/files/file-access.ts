/** Files that a model names: inside of its folder, and read to the byte. */
import { realpath, stat, type FileHandle } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { ModelFileError } from './model-file-error.js';

/**
 * Bytes of the file `name` in a folder. Throws ModelFileError where it is no file, or lies elsewhere: the engine refuses
 * links out of the folder without saying what is wrong.
 */
export async function sizeInside(folder: string, name: string): Promise<number> {
  const path = join(folder, name);
  try {
    const [root, real] = await Promise.all([realpath(folder), realpath(path)]);
    if (relative(root, real).split(sep)[0] === '..') {
      throw new ModelFileError(path, 'file', "leaves the model's folder through a symbolic link");
    }
    const found = await stat(path);
    if (!found.isFile()) throw new ModelFileError(path, 'file', 'is not a file');
    return found.size;
  } catch (cause) {
    if (cause instanceof ModelFileError) throw cause;
    throw new ModelFileError(path, 'file', 'cannot be read', { cause });
  }
}

/** `length` bytes of an open file from `position` on, in memory of their own. Throws ModelFileError where it ends before. */
export async function readExactly(
  handle: FileHandle,
  file: string,
  length: number,
  position: number,
): Promise<Buffer<ArrayBuffer>> {
  const buffer = Buffer.from(new ArrayBuffer(length));
  for (let done = 0; done < length;) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) throw new ModelFileError(file, 'file', 'ended while it was read');
    done += bytesRead;
  }
  return buffer;
}
