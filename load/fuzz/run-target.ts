/** One case, run and judged: by what was thrown, the time it took and the memory. */
import type { OpenTarget } from './target.js';

/** A machine with other work must not make a fault of it. */
const MOST_MS = 2000;
const MOST_MIB = 256;

/** What was wrong; undefined if nothing was. The caller keeps the bytes: the reader gets a copy. */
export async function runTarget(run: OpenTarget['run'], bytes: Buffer): Promise<string | undefined> {
  const [started, before] = [performance.now(), process.resourceUsage().maxRSS];
  try {
    await run(Buffer.from(bytes));
  } catch (error) {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  const took = Math.round(performance.now() - started);
  const grewMiB = Math.round((process.resourceUsage().maxRSS - before) / 1024);
  if (took > MOST_MS) return `it took ${took} ms, more than ${MOST_MS}`;
  // In kilobytes, of the whole process.
  if (grewMiB > MOST_MIB) return `it took ${grewMiB} MiB of memory for ${bytes.length} bytes`;
  return undefined;
}
