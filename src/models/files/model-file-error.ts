/** A file of a model that is missing, malformed or does not fit: it names file and field. */
import { relative } from 'node:path';
import { OperatorError } from '../../errors.js';
import { GraphError } from '../../graph/graph-error.js';

export class ModelFileError extends OperatorError {
  override name = 'ModelFileError';
  /** The absolute path: for the operator, as the message is; clients are told `messageWithin` the model's folder. */
  readonly file: string;
  /** What in the file is wrong: a JSON path, a tensor, or `file` for the file itself. */
  readonly field: string;
  readonly detail: string;

  constructor(file: string, field: string, detail: string, options: { cause?: unknown } = {}) {
    super(`${file}: ${field}: ${detail}`, options);
    this.file = file;
    this.field = field;
    this.detail = detail;
  }

  /** The message with the file's path from the model's folder, which does not tell where on the machine models lie. */
  messageWithin(folder: string): string {
    return `${relative(folder, this.file)}: ${this.field}: ${this.detail}`;
  }
}

/** Do something with a file's graph; a GraphError becomes a ModelFileError that names the file and what in it is wrong. */
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
