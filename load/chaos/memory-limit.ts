/**
 * A limit of the memory that a server and its processes may take together, as a container sets it: a control group of its own
 * (cgroup 1 or 2). Beyond it the system takes page cache back, then kills a process. Needs Linux, and the right to make control
 * groups: root, or a delegated one.
 */
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface MemoryLimit {
  /** A command that runs the command behind it under the limit. */
  readonly launcher: readonly string[];
  readonly peakMiB: () => Promise<number>;
  /** Processes that the system killed for lack of memory. */
  readonly kills: () => Promise<number>;
  /** When the processes in it have ended, or a few seconds later: what they leave is told on standard output. */
  readonly remove: () => Promise<void>;
}

interface Version {
  /** Above it others are made. */
  readonly parent: string;
  readonly limit: string;
  readonly peak: string;
  /** Has a line `oom_kill N`. */
  readonly events: string;
}

const ROOT = '/sys/fs/cgroup';
const MIB = 2 ** 20;

/** Undefined where there is to be none (0), or, with a notice, where the system does not allow it. */
export async function limitOf(mebibytes: number): Promise<MemoryLimit | undefined> {
  if (mebibytes === 0) return undefined;
  return limitMemory(mebibytes).catch((error: unknown) => {
    process.stdout.write(`NOTICE: the memory is not limited: ${String(error)}\n`);
    return undefined;
  });
}

/** Throws what the system says where it does not allow this. */
async function limitMemory(mebibytes: number): Promise<MemoryLimit> {
  const { parent, limit, peak, events } = await version();
  const folder = join(parent, `fullconv-load-${process.pid}`);
  await mkdir(folder);
  const remove = async (): Promise<void> => {
    for (let attempts = 0; attempts < 50; attempts++) {
      // Busy while a process in it is not quite gone.
      const isGone = await rmdir(folder).then(
        () => true,
        () => false,
      );
      if (isGone) return;
      await sleep(100);
    }
    process.stdout.write(`NOTICE: ${folder} still has processes, and stays\n`);
  };
  try {
    await writeFile(join(folder, limit), String(mebibytes * MIB));
  } catch (error) {
    await remove();
    throw error;
  }
  const read = (file: string): Promise<string> => readFile(join(folder, file), 'utf8');
  return {
    launcher: ['sh', '-c', `echo $$ > '${join(folder, 'cgroup.procs')}' && exec "$@"`, 'sh'],
    peakMiB: async () => Number(await read(peak)) / MIB,
    kills: async () => Number(/^oom_kill (\d+)$/m.exec(await read(events))?.[1] ?? NaN),
    remove,
  };
}

/** Where this process may make control groups: beside its own, because those of version 2 with processes have no others below. */
async function version(): Promise<Version> {
  const own = await readFile('/proc/self/cgroup', 'utf8');
  const first = /^\d+:memory:(.*)$/m.exec(own)?.[1];
  if (first !== undefined) {
    const files = { limit: 'memory.limit_in_bytes', peak: 'memory.max_usage_in_bytes', events: 'memory.oom_control' };
    return { parent: join(ROOT, 'memory', first), ...files };
  }
  const second = /^0::(.*)$/m.exec(own)?.[1] ?? '/';
  return { parent: join(ROOT, second, '..'), limit: 'memory.max', peak: 'memory.peak', events: 'memory.events' };
}
