/** What a reader may throw: its own refusals, which say what is wrong with the bytes. */
import { OperatorError, ServiceError } from '../../../src/errors.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { check } from '../target.js';

/** Run a parser of what clients send. It may refuse with a ServiceError that blames the client. */
export async function refusing(parse: () => Promise<void>): Promise<void> {
  try {
    await parse();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    check(error.status < 500, 'a refusal blames the client');
    check(error.message.length < 10_000, 'a refusal is short');
  }
}

/** Run a reader of models' files. It may refuse with a ModelFileError, another OperatorError or a GraphError. */
export async function refusingModel(read: () => unknown): Promise<void> {
  try {
    await read();
  } catch (error) {
    if (!(error instanceof OperatorError || error instanceof GraphError)) throw error;
    check(error.message.length < 20_000, 'a refusal is short');
  }
}
