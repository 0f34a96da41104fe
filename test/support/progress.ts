/**
 * Decides how long to wait for work that may hang. A clock says little: on a busy machine everything takes many times
 * as long. So processor time decides, and not the time that has passed. Work is given up if it stands still: if this
 * process and those below it have used next to no processor time for a while. It is also given up if they have used
 * more than any work needs.
 *
 * Processor time is read from /proc. Without /proc only that of this process is known, and work must stand still for
 * longer.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';

export interface Limits {
  /** Work that uses less than this share of a core for `stillMs` stands still. */
  readonly leastShare: number;
  readonly stillMs: number;
  /** Work that uses more processor time than this is given up. */
  readonly mostProcessorMs: number;
  /** Time between two samples. */
  readonly sampleMs: number;
}

const HAS_PROC = existsSync('/proc/self/stat');

export const LIMITS: Limits = {
  // A process among dozens of others on one core still gets more.
  leastShare: 0.01,
  stillMs: HAS_PROC ? 60_000 : 600_000,
  mostProcessorMs: 600_000,
  sampleMs: 2000,
};

/** The kernel's unit of processor time, wherever Node runs. */
const TICK_MS = 10;

// Kept here, because tests may replace the global ones.
const { setInterval, clearInterval } = globalThis;
const now = performance.now.bind(performance);

interface Watch {
  readonly limits: Limits;
  readonly giveUp: (error: Error) => void;
  /** Processor time used in all. */
  processorMs: number;
  /** The start of the current look for standing still, and the processor time used since. */
  since: number;
  sinceMs: number;
}

/** The work that is waited for now. The last one is the innermost, and the only one that can be given up. */
const watches: Watch[] = [];
let sampler: NodeJS.Timeout | undefined;
/** Processor time by process at the last sample; and the time that the sampling took, which is no work. */
let seen = new Map<number, number>();
let lookedMs = 0;

/**
 * Do some work, without a time limit as long as it goes on. Rejects if it does not; the work that hangs is left behind.
 */
export async function whileItWorks<T>(work: () => Promise<T>, limits: Limits = LIMITS): Promise<T> {
  let giveUp: (error: Error) => void = () => undefined;
  const end = new Promise<never>((_, reject) => (giveUp = reject));
  const watch: Watch = { limits, giveUp, processorMs: 0, since: now(), sinceMs: 0 };
  sample();
  watches.push(watch);
  clearInterval(sampler);
  sampler = setInterval(look, limits.sampleMs).unref();
  try {
    return await Promise.race([work(), end]);
  } finally {
    sample();
    watches.splice(watches.indexOf(watch), 1);
    clearInterval(sampler);
    const outer = watches.at(-1);
    if (outer !== undefined) {
      restart(outer);
      sampler = setInterval(look, outer.limits.sampleMs).unref();
    }
  }
}

function look(): void {
  const watch = watches.at(-1);
  if (watch === undefined) return;
  const { limits } = watch;
  const used = sample();
  watch.processorMs += used;
  watch.sinceMs += used;
  if (watch.processorMs > limits.mostProcessorMs) {
    watch.giveUp(new Error(`it goes on and on: ${seconds(watch.processorMs)} of processor time\n${below()}`));
  } else if (watch.sinceMs > limits.leastShare * limits.stillMs) {
    restart(watch);
  } else if (now() - watch.since > limits.stillMs) {
    const did = `${seconds(watch.sinceMs)} of processor time in ${seconds(now() - watch.since)}`;
    watch.giveUp(new Error(`it stands still: ${did}\n${below()}`));
  }
}

function restart(watch: Watch): void {
  watch.since = now();
  watch.sinceMs = 0;
}

/** Processor time, in milliseconds, of this process and those below it since the last sample. */
function sample(): number {
  const before = process.cpuUsage();
  const processes = ownProcesses();
  const used = [...processes].reduce((sum, [pid, { ms }]) => sum + Math.max(0, ms - (seen.get(pid) ?? 0)), 0);
  const worked = Math.max(0, used - lookedMs);
  seen = new Map([...processes].map(([pid, { ms }]) => [pid, ms]));
  const { user, system } = process.cpuUsage(before);
  lookedMs = (user + system) / 1000;
  return worked;
}

interface Process {
  readonly parent: number;
  readonly ms: number;
}

/** This process and all its descendants, by number, parents before children. */
function ownProcesses(): ReadonlyMap<number, Process> {
  if (!HAS_PROC) {
    const { user, system } = process.cpuUsage();
    return new Map([[process.pid, { parent: process.ppid, ms: (user + system) / 1000 }]]);
  }
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  const known = new Map(all.flatMap((pid) => readProcess(pid) ?? []));
  const own = new Map<number, Process>();
  const add = (pid: number): void => {
    const found = known.get(pid);
    if (found === undefined || own.has(pid)) return;
    own.set(pid, found);
    for (const [child, { parent }] of known) if (parent === pid) add(child);
  };
  add(process.pid);
  return own;
}

/** Undefined for a process that has ended meanwhile. */
function readProcess(pid: number): [[number, Process]] | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The process's name, which comes before, may hold anything.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return [[pid, { parent: Number(fields[1]), ms: TICK_MS * (Number(fields[11]) + Number(fields[12])) }]];
  } catch {
    return undefined;
  }
}

/** The processes below this one, for a message: their numbers and command lines. */
function below(): string {
  return descendants()
    .map((pid) => {
      try {
        return `${pid}: ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`;
      } catch {
        return `${pid}`;
      }
    })
    .join('\n');
}

/** The numbers of the processes below this one; none where there is no /proc. */
export function descendants(): number[] {
  return [...ownProcesses().keys()].filter((pid) => pid !== process.pid);
}

/** The result of the work, and the processor time in milliseconds that this process uses meanwhile. */
export async function measureProcessor<T>(
  work: () => Promise<T>,
): Promise<{ readonly result: T; readonly ms: number }> {
  const before = process.cpuUsage();
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { result, ms: (user + system) / 1000 };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
