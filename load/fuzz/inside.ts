/**
 * Entry of the thread that feeds the readers of one kind with bytes. watch.ts starts it, and sees when it hangs or ends: the
 * case that runs stands in memory that both have.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { createRandom } from '../chaos/random.js';
import { startCoverage } from './coverage.js';
import { mutateBytes } from './mutate.js';
import { search } from './search.js';
import { createShownCase, type Insider, type InsideStart } from './shown-case.js';
import { runTarget } from './run-target.js';
import { TARGETS } from './targets.js';

async function fuzz({ kind, target: name, cases, milliseconds, seed, shared }: InsideStart): Promise<void> {
  const send = (message: Insider): void => parentPort!.postMessage(message);
  // libhdf5 tells the console what it thinks of a file.
  console.error = () => undefined;
  const target = await TARGETS[kind][name]!();
  const folder = await mkdtemp(join(tmpdir(), 'fullconv-fuzz-'));
  const coverage = startCoverage((url) => url.includes('/dist/') && !url.includes('node_modules'));
  try {
    const { seeds, run, words, mutate } = await target.open(await made(join(folder, name)));
    const shown = createShownCase(shared);
    const random = createRandom(seed);
    const end = performance.now() + milliseconds;
    const result = await search({
      random,
      seeds,
      cases,
      coverage,
      isOver: () => performance.now() >= end,
      mutate: (chance, original, others) =>
        mutate !== undefined && chance.next() < 0.5
          ? mutate(chance, original)
          : mutateBytes(chance, original, { others, ...(words && { words }) }),
      async run(bytes) {
        shown.show(bytes);
        const fault = await runTarget(run, bytes);
        shown.hide();
        if (fault !== undefined) send({ fault, bytes });
      },
    });
    send({ done: result });
  } finally {
    coverage.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

async function made(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  return folder;
}

if (!isMainThread) await fuzz(workerData as InsideStart);
