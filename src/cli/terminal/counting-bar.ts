/** A bar on the standard error, of how many of a known number are done. */
import { SingleBar } from 'cli-progress';

/** Started; the caller stops it. Nothing is shown where the standard error is no terminal. */
export function startCountingBar(what: string, total: number): SingleBar {
  const bar = new SingleBar({
    format: `${what} {bar} {percentage}% | {value}/{total} | {eta_formatted} left`,
    stream: process.stderr,
    noTTYOutput: false,
  });
  bar.start(total, 0);
  return bar;
}
