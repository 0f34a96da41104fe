/** The progress of a command with several files: a bar on the standard error, if that is a terminal. */
import { SingleBar } from 'cli-progress';

/** Fewer files are done before anyone has read the bar. */
const FEWEST = 3;

export interface Progress {
  step(): void;
  /** Print something else, then the bar again below it. */
  aside(print: () => void): void;
  stop(): void;
}

export function createProgress(total: number, stream: NodeJS.WriteStream = process.stderr): Progress {
  if (!stream.isTTY || total < FEWEST) {
    return { step: () => undefined, aside: (print) => print(), stop: () => undefined };
  }
  const format = '{bar} {percentage}% | {value}/{total} | {left} left';
  const bar = new SingleBar({ format, barsize: 25, stream, clearOnComplete: true });
  const started = performance.now();
  let done = 0;
  // The bar starts again after everything that is printed, and each start resets its own estimate.
  const estimate = (): { left: string } => {
    const seconds = ((performance.now() - started) / 1000 / done) * (total - done);
    return { left: done === 0 ? '…' : seconds < 100 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min` };
  };
  bar.start(total, done, estimate());
  return {
    step: () => bar.update(++done, estimate()),
    aside(print) {
      // Stopping puts the cursor where the bar began, so nothing else may be printed while the bar stands.
      bar.stop();
      print();
      bar.start(total, done, estimate());
    },
    stop: () => bar.stop(),
  };
}
