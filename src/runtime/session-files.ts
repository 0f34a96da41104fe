/**
 * The files that a session is opened from. An engine maps them by their paths, so what it computes with can change under
 * it: by a write into a file, also while a session is open, or by another file in its place, when the next session is
 * opened. A session answers only with the bytes that were digested, or throws FilesChanged.
 *
 * Copies or hard links would keep the old bytes at hand, at the cost of the disk or within one file system only, and a hard
 * link does not see a write either. So the files are watched instead.
 *
 * The checks block their thread for some microseconds a file. Only a file whose times have changed is digested again.
 */
import { join } from 'node:path';
import { DigestedPath, type StampedFile } from '../regular-files.js';

export class FilesChanged extends Error {
  override name = 'FilesChanged';
}

export class SessionFiles {
  readonly #paths: readonly DigestedPath[];

  constructor(folder = '', files: readonly StampedFile[] = []) {
    this.#paths = files.map(({ name, stamp }) => new DigestedPath(join(folder, name), stamp));
  }

  /**
   * Throws unless each path has the digested bytes. An engine that opens the files between two calls that return has these
   * bytes.
   */
  assertSame(): void {
    for (const path of this.#paths) if (path.changeSync() !== 'same') throw changed(path);
  }

  /**
   * Throws if a file has been written to. Another file in its place, or none, is no fault: an open session has the old one
   * mapped.
   */
  assertIntact(): void {
    for (const path of this.#paths) if (path.isRewrittenSync()) throw changed(path);
  }
}

function changed({ path }: DigestedPath): FilesChanged {
  return new FilesChanged(`${path} has changed since it was digested`);
}
