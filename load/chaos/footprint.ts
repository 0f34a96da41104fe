/** What a server and the processes that work for it hold, and whether that grows. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ownResidentOf, processTree, residentOf, type RunningServer } from '../server-process.js';
import { slope } from '../statistics.js';
import { openFiles } from './open-files.js';

export interface Footprint {
  readonly residentMiB: number;
  /** Of the process alone that speaks HTTP. */
  readonly ownMiB: number;
  readonly files: number;
  readonly processes: number;
}

export async function footprintOf(server: RunningServer): Promise<Footprint> {
  return {
    residentMiB: (await residentOf(server)) ?? NaN,
    ownMiB: (await ownResidentOf(server)) ?? NaN,
    files: await openFiles(server.pid),
    processes: (await processTree(server.pid)).length,
  };
}

/** How a footprint changes under load, for each hour. */
export interface Growth {
  readonly residentMiB: number;
  readonly files: number;
  readonly samples: number;
}

/** Samples in a run, however long it is. */
const SAMPLES = 120;
const HOUR_MS = 3_600_000;

/** Sample the footprint until `isOver`, for `milliseconds`. The first tenth does not count: the server still grows to its work. */
export async function watchGrowth(server: RunningServer, milliseconds: number, isOver: () => boolean): Promise<Growth> {
  const start = performance.now();
  const seen: (Footprint & { readonly hours: number })[] = [];
  while (!isOver()) {
    const at = performance.now() - start;
    if (at >= milliseconds / 10) seen.push({ hours: at / HOUR_MS, ...(await footprintOf(server)) });
    await sleep(milliseconds / SAMPLES);
  }
  const growthOf = (figure: 'residentMiB' | 'files'): number =>
    slope(seen.map((sample) => [sample.hours, sample[figure]]));
  return { residentMiB: growthOf('residentMiB'), files: growthOf('files'), samples: seen.length };
}
