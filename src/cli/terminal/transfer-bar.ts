/** The progress of a download: a bar on a terminal, a line for every tenth elsewhere. */
import { SingleBar } from 'cli-progress';

export interface TransferBar {
  /** Bytes that had arrived at the last update. */
  readonly done: number;
  /** To be called at every step; `total` is undefined if it is unknown. */
  readonly update: (done: number, total: number | undefined) => void;
  /** To be called when the transfer waits before it goes on. */
  readonly pause: (reason: string, waitMs: number) => void;
  stop(): void;
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function createTransferBar(name: string, stream: NodeJS.WriteStream): TransferBar {
  const size = (total: number | undefined): string => (total === undefined ? 'unknown size' : megabytes(total));
  const bar = new SingleBar({
    format: `${name} {bar} {percentage}% | {transferred} of {size} | {eta_formatted} left`,
    barsize: 25,
    stream,
  });
  let started = false;
  let done = 0;
  let tenths = -1;

  function draw(total: number | undefined): void {
    const payload = { transferred: megabytes(done), size: size(total) };
    if (started) bar.update(done, payload);
    else bar.start(total ?? done, done, payload);
    started = true;
  }

  function print(total: number | undefined): void {
    const reached = total === undefined || total === 0 ? 0 : Math.floor((10 * done) / total);
    if (reached !== tenths) stream.write(`${name}: ${megabytes(done)} of ${size(total)}\n`);
    tenths = reached;
  }

  return {
    get done() {
      return done;
    },
    update(now, total) {
      done = now;
      if (stream.isTTY) draw(total);
      else print(total);
    },
    pause(reason, waitMs) {
      if (started) bar.stop();
      started = false;
      stream.write(`${name}: ${reason}; trying again in ${(waitMs / 1000).toFixed(0)} s\n`);
    },
    stop() {
      if (started) bar.stop();
    },
  };
}
