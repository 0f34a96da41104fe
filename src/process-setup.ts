/** Sets up the server's own process, and a command's, before it loads anything else. */
import { constants } from 'node:os';
import { setFlagsFromString } from 'node:v8';
import { coreCount } from './cores.js';
import { LEAST_OPEN_FILES, openFileLimit } from './open-files.js';

/** Signals that ask for the end. */
const STOPPING = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/**
 * libuv reads UV_THREADPOOL_SIZE when its first thread starts, and loading an ES module already starts one. So this
 * must be called by an entry that is CommonJS. Files are read on these threads; those that decode are in other processes
 * (processes/child.ts).
 *
 * Bodies come and go outside of JavaScript's heap. V8 counts them, but can only free them by marking the heap. A
 * heap as small as ours would be marked several times a second. So it may grow before that by the most that V8 allows:
 * to four times the live data.
 */
export function setUpProcess(): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(Math.max(4, 2 * coreCount() + 2));
  setFlagsFromString('--heap-growing-percent=300');
  if (process.pid === 1) hearSignals();
}

/**
 * The kernel keeps from the first process of a container every signal for which it has set up nothing, so that a stop would
 * be heard only once the server has started, and by no other command. Here they end it, as anywhere else.
 */
function hearSignals(): void {
  for (const signal of STOPPING) process.on(signal, () => process.exit(128 + constants.signals[signal]));
}

/** Why no command can run here, which Node would say with a stack of its own; undefined if they can. */
export function whyUnable(): string | undefined {
  const limit = openFileLimit();
  if (limit >= LEAST_OPEN_FILES) return undefined;
  return `only ${limit} files may be open at once (ulimit -n); at least ${LEAST_OPEN_FILES} are needed`;
}
