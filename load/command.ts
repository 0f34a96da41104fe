/** How the commands of load/ end early: with a sentence for the operator's mistakes, and by Ctrl-C. */
import { OperatorError } from '../src/errors.js';

export async function runCommand(command: () => Promise<void>): Promise<void> {
  try {
    await command();
  } catch (error) {
    if (!(error instanceof Error && isMistake(error))) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 2;
  }
}

/**
 * Whether the operator can put it right: an OperatorError, an option that does not exist, a file that cannot be read.
 */
function isMistake(error: Error & { code?: unknown }): boolean {
  return error instanceof OperatorError || 'syscall' in error || String(error.code).startsWith('ERR_PARSE_ARGS');
}

/** npm passes the terminal's Ctrl-C on to a process that has already had it; a signal within this time is that echo. */
const ECHO_MS = 1000;

/** Aborted by the first Ctrl-C; a later one ends the process. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  let firstAt: number | undefined;
  process.on('SIGINT', () => {
    const now = performance.now();
    firstAt ??= now;
    if (now - firstAt > ECHO_MS) process.exit(130);
    if (controller.signal.aborted) return;
    process.stderr.write('\nEnding; press Ctrl-C again to end at once.\n');
    controller.abort();
  });
  return controller.signal;
}
