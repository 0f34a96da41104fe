/** A file of a model that is missing, malformed or does not fit: it names file and field. */
import { relative } from 'node:path';
import { OperatorError } from '../errors.js';

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
