/** Access to the files that a model names: they must lie inside its folder, and short reads are errors. */
import { realpath, stat, type FileHandle } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { ModelFileError } from './model-file-error.js';

/**
 * Size in bytes of the file `name` in a folder. Throws ModelFileError if it is not a file or a link leads out of the
 * folder; the engine would refuse such links without a reason.
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

/** `length` bytes of an open file from `position` on, in a new buffer. Throws ModelFileError if the file is shorter. */
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
