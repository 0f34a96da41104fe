/**
 * The exit code of the process, for scripts. 0: everything was answered. 1: some inputs (images, a model folder,
 * weights) have no answer. 2: wrong usage, or a model, class or setting that does not exist. 3: nothing answers,
 * because there is no server, or because a device, an engine or a model fails.
 */
import { CommanderError } from 'commander';
import { ProblemError, UnreachableError } from '../client/index.js';
import { ERROR_TABLE, OperatorError, ServiceError, UnavailableError, UsageError, type ErrorCode } from '../errors.js';

export const EXIT = { answered: 0, inputFailed: 1, usage: 2, unavailable: 3 } as const;

export const EXIT_HELP = `
Exit codes:
  0  everything was answered
  1  some images or other inputs have no answer; the others do
  2  wrong usage: an option, a setting, a model or a class that does not exist
  3  nothing answers: the server cannot be reached, or a device or model fails`;

/** The exit code for the error that ended a command. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.answered : EXIT.usage;
  if (error instanceof UsageError) return EXIT.usage;
  if (error instanceof UnavailableError || error instanceof UnreachableError) return EXIT.unavailable;
  const code = codeOf(error);
  if (code !== undefined) {
    if (IMAGE_PROBLEMS.has(code)) return EXIT.inputFailed;
    const { status, retryable } = ERROR_TABLE[code];
    return status < 500 && !retryable ? EXIT.usage : EXIT.unavailable;
  }
  const isAboutInput = error instanceof OperatorError || (error instanceof Error && 'syscall' in error);
  return isAboutInput ? EXIT.inputFailed : EXIT.unavailable;
}

/** Whether an image is to blame for an error. Other images may still be answered then. */
export function isImageProblem(error: unknown): boolean {
  const code = codeOf(error);
  return code !== undefined && IMAGE_PROBLEMS.has(code);
}

const IMAGE_PROBLEMS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'BODY_TOO_LARGE',
  'UNSUPPORTED_MEDIA_TYPE',
  'IMAGE_UNDECODABLE',
  'IMAGE_TOO_LARGE',
]);

function codeOf(error: unknown): ErrorCode | undefined {
  if (error instanceof ServiceError) return error.code;
  return error instanceof ProblemError ? error.problem.code : undefined;
}
