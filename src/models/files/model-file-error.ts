/** Errors about a file of a model that is missing, malformed or unsuitable: they name the file and the field. */
import { basename, relative } from 'node:path';
import { OperatorError } from '../../errors.js';
import { GraphError } from '../../graph/graph-error.js';

export class ModelFileError extends OperatorError {
  override name = 'ModelFileError';
  /** The absolute path. Like the message it is for the operator only; clients get `messageWithin`. */
  readonly file: string;
  /** The faulty part of the file: a JSON path, a tensor, or `file` for the file itself. */
  readonly field: string;
  readonly detail: string;

  constructor(file: string, field: string, detail: string, options: { cause?: unknown } = {}) {
    super(`${file}: ${field}: ${detail}`, options);
    this.file = file;
    this.field = field;
    this.detail = detail;
  }

  /**
   * The message with the path relative to the model's folder, so that it does not tell where models are stored. Of a file
   * in the cache it has the name alone.
   */
  messageWithin(folder: string): string {
    const path = relative(folder, this.file);
    return `${path === '' || path.startsWith('..') ? basename(this.file) : path}: ${this.field}: ${this.detail}`;
  }
}

/** Run `work` on a file's graph. A GraphError becomes a ModelFileError naming the file and the faulty part of it. */
export async function explain<T>(file: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof GraphError)) throw cause;
    const [, field = 'file', detail = cause.message] =
      /^((?:tensor|node|value|input|output|layer|weight) ".*?"(?: \(\w*\))?|modelTopology[\w.]*):? (.*)$/su.exec(
        cause.message,
      ) ?? [];
    throw new ModelFileError(file, field, detail, { cause });
  }
}
