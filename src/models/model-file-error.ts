/** A file of a model that is missing, malformed or does not fit. For the operator of the server: it names file and field. */
export class ModelFileError extends Error {
  readonly file: string;
  /** What in the file is wrong: a JSON path, a tensor, or `file` for the file itself. */
  readonly field: string;

  constructor(file: string, field: string, detail: string, options: { cause?: unknown } = {}) {
    super(`${file}: ${field}: ${detail}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'ModelFileError';
    this.file = file;
    this.field = field;
  }
}
