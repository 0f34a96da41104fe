/** What went wrong, as a line for the terminal: of errors that are expected what they say, of the others, bugs, the stack. */
import { ProblemError, UnreachableError } from '../client/index.js';
import { OperatorError, ServiceError } from '../errors.js';

const EXPECTED = [OperatorError, ProblemError, UnreachableError];

/** A server's refusal reads as the engine's own does, with every wrong parameter. */
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
