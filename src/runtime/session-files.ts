/**
 * The files that a session is opened from. An engine maps them by their paths, so what it computes with can change under
 * it: by a write into a file, also while a session is open, or by another file in its place, when the next session is
 * opened. A session answers only with the bytes that were digested, or throws FilesChanged.
 *
 * The checks block their thread for some microseconds a file. Only a file whose times have changed is digested again.
 */
import { join } from 'node:path';
import { changeSinceSync, type StampedFile } from '../regular-files.js';

export class FilesChanged extends Error {
  override name = 'FilesChanged';
}

export class SessionFiles {
  readonly #folder: string;
  readonly #files: StampedFile[];

  constructor(folder = '', files: readonly StampedFile[] = []) {
    this.#folder = folder;
    this.#files = [...files];
  }

  /**
   * Throws unless each path has the digested bytes. An engine that opens the files between two calls that return has these
   * bytes.
   */
  assertSame(): void {
    this.#assert(['replaced', 'rewritten']);
  }

  /**
   * Throws if a file has been written to. Another file in its place, or none, is no fault: an open session has the old one
   * mapped.
   */
  assertIntact(): void {
    this.#assert(['rewritten']);
  }

  #assert(faults: readonly ('replaced' | 'rewritten')[]): void {
    this.#files.forEach(({ name, stamp }, index) => {
      const path = join(this.#folder, name);
      const since = changeSinceSync(path, stamp);
      if (since.kind === 'same') this.#files[index] = { name, stamp: since.stamp };
      else if (faults.includes(since.kind)) throw new FilesChanged(`${path} was ${since.kind} after it was digested`);
    });
  }
}
