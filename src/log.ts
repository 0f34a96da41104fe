/**
 * The log: JSON lines of pino on a file descriptor. Hides what may be wrong with the reader: a full disk, a pipe that
 * nobody empties, a pipe whose reader has gone. The program goes on in each case. Lines are written in the background, at
 * most MAX_WAITING_BYTES of them wait, and those beyond are dropped and counted. The first line that is written
 * afterwards says how many.
 *
 * pino.destination would do almost the same, but at the exit it tries again for ever to write to a full disk.
 */
import { pino, type LevelWithSilent, type Logger } from 'pino';
import sonicBoom from 'sonic-boom';

export const STANDARD_OUTPUT = 1;
export const STANDARD_ERROR = 2;

/** Some thousands of lines. */
const MAX_WAITING_BYTES = 2 ** 20;

/** How long the last lines may take. */
const LAST_LINES_MS = 1000;

export interface Log {
  readonly logger: Logger;
  /**
   * Write the lines that wait, and take no more. Resolves to false when a write still blocks a thread (a terminal that was
   * stopped, a dead network disk): an exit would wait for it, and only a kill ends the process. Never rejects.
   */
  close(): Promise<boolean>;
}

/** Open the log. It closes the descriptor, unless that is a standard one. `onDrop` is told of each line that is dropped. */
export function openLog(level: LevelWithSilent, descriptor: number, onDrop: () => void = () => undefined): Log {
  unblock(descriptor);
  let dropped = 0;
  let isEnding = false;
  let isOver = false;
  let isTryingAgain = false;
  const count = (): void => {
    dropped += 1;
    onDrop();
  };
  const sink = new sonicBoom.SonicBoom({
    fd: descriptor,
    sync: false,
    maxLength: MAX_WAITING_BYTES,
    retryEAGAIN: () => (isTryingAgain = !isOver),
  });
  // The next line tries again what could not be written.
  sink.on('error', () => undefined);
  sink.on('write', () => (isTryingAgain = false));
  sink.on('drop', count);
  const logger = pino({ level }, { write: (line: string) => (isEnding ? count() : void sink.write(line)) });
  sink.on('drain', () => {
    if (dropped === 0) return;
    const lines = dropped;
    dropped = 0;
    logger.warn({ lines }, 'lines of the log were dropped, because they could not be written');
  });

  function end(): Promise<boolean> {
    isEnding = true;
    return new Promise((resolve) => {
      const finish = (isFree: boolean): void => {
        isOver = true;
        clearTimeout(patience);
        resolve(isFree);
      };
      const patience = setTimeout(() => finish(isTryingAgain), LAST_LINES_MS);
      sink.once('error', () => finish(true));
      sink.once('close', () => finish(true));
      sink.end();
    });
  }
  let ended: Promise<boolean> | undefined;
  return { logger, close: () => (ended ??= end()) };
}

/**
 * Make a pipe or a socket non-blocking, which Node does when its stream is first asked for. A thread that is blocked in a
 * write could not be ended by an exit.
 */
function unblock(descriptor: number): void {
  if (descriptor === STANDARD_OUTPUT) process.stdout.uncork();
  if (descriptor === STANDARD_ERROR) process.stderr.uncork();
}
