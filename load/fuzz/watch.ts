/**
 * Fuzzes the readers in this process (models' files, parsers), each on a thread of its own, one after the other. A case that
 * hangs, ends its thread or takes all its memory is a fault like any other; the thread is started again behind it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Fault } from './case-file.js';
import type { SearchResult } from './search.js';
import { createShownCase, sharedCase, type Insider, type InsideStart } from './shown-case.js';

const ENTRY = fileURLToPath(new URL('./inside.js', import.meta.url));
const HEAP_MB = 512;
const CHECK_MS = 250;
/** Whatever runs longer is ended. */
const HANG_MS = 10_000;
const HUNG = `it was not over after ${HANG_MS / 1000} s`;

export interface Watched extends Omit<InsideStart, 'shared'> {
  readonly mayHang: boolean;
  readonly signal: AbortSignal;
  readonly onFault: (fault: Fault) => void;
}

/** Fuzz one reader. Resolves to the number of cases, and of inputs that the search had found worth keeping. */
export async function fuzzReader(watched: Watched): Promise<SearchResult> {
  const end = performance.now() + watched.milliseconds;
  let cases = 0;
  let known = 0;
  for (let round = 0; cases < watched.cases && performance.now() < end && !watched.signal.aborted; round += 1) {
    const rest = { cases: watched.cases - cases, milliseconds: end - performance.now() };
    const ran = await oneThread({ ...watched, ...rest, seed: watched.seed + round });
    cases += ran.cases;
    known = Math.max(known, ran.known);
    if (ran.cases === 0) break;
  }
  return { cases, known };
}

/** One thread, until it is done or a case has ended it. */
async function oneThread({ mayHang, signal, onFault, ...start }: Watched): Promise<SearchResult> {
  const shared = sharedCase();
  const shown = createShownCase(shared);
  const thread = new Worker(ENTRY, {
    workerData: { ...start, shared } satisfies InsideStart,
    execArgv: [],
    // What libhdf5 prints.
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
  });
  // Otherwise the lines wait in memory.
  thread.stdout.resume();
  thread.stderr.resume();
  const state: { ended?: string; done?: SearchResult } = {};
  const fail = (message: string, bytes: Buffer): void =>
    onFault({ kind: start.kind, target: start.target, message, bytes });
  thread.on('message', (message: Insider) => {
    if ('fault' in message) fail(message.fault, Buffer.from(message.bytes));
    else state.done = message.done;
  });
  thread.on('error', (error) => (state.ended ??= `the thread failed: ${error.stack ?? error.message}`));
  thread.on('exit', () => (state.ended ??= 'the thread ended'));

  let last = { count: -1, at: performance.now() };
  while (state.ended === undefined && !signal.aborted) {
    await sleep(CHECK_MS);
    const { count } = shown;
    if (count !== last.count || shown.running === undefined) last = { count, at: performance.now() };
    else if (performance.now() - last.at > HANG_MS) state.ended = HUNG;
  }
  const { count, running } = shown;
  await thread.terminate();
  const { done, ended = 'it was interrupted' } = state;
  if (done !== undefined) return done;
  if (signal.aborted || (mayHang && ended === HUNG)) return { cases: count, known: 0 };
  // It has not come to its first case.
  if (running === undefined) throw new Error(`${start.kind}, ${start.target}: ${ended}`);
  fail(ended, running);
  return { cases: count, known: 0 };
}
