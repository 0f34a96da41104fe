/** The digest of a file, streamed: the file is never whole in memory. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { ModelFileError } from './model-file-error.js';

/** sha256 of a file's bytes, hexadecimal. Throws ModelFileError if the file cannot be read. */
export async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  } catch (cause) {
    throw new ModelFileError(file, 'file', 'cannot be read', { cause });
  }
  return hash.digest('hex');
}
