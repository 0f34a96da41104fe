/** An error as a line for the terminal: the message of an expected error, the stack of any other, which is a bug. */
import { ProblemError, UnreachableError } from '../client/index.js';
import { OperatorError, ServiceError } from '../errors.js';

const EXPECTED = [OperatorError, ProblemError, UnreachableError];

/** The text of an error. A server's refusal reads like the local engine's, with every wrong parameter. */
export function errorText(error: unknown): string {
  if (error instanceof ServiceError) {
    const parameters = error.errors.map(({ parameter, detail }) => `${parameter}: ${detail}.`);
    const cause = error.code === 'INFERENCE_FAILED' && error.cause instanceof Error ? [error.cause.message] : [];
    return [error.message, ...parameters, ...cause].join(' ');
  }
  if (!(error instanceof Error)) return String(error);
  const isExpected = EXPECTED.some((kind) => error instanceof kind) || 'syscall' in error;
  return isExpected ? error.message : (error.stack ?? error.message);
}
