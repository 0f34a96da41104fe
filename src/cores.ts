/**
 * The number of processor cores this process may use: the cores the scheduler grants, limited by the CPU quota of the
 * control group. Containers set that quota (`docker run --cpus 2`, a Kubernetes limit); Node 20 ignores it.
 *
 * Source: Linux, "Control Group v2", cpu.max; version 1's cpu.cfs_quota_us.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

const VERSION_2 = '/sys/fs/cgroup/cpu.max';
const VERSION_1 = ['/sys/fs/cgroup/cpu/cpu.cfs_quota_us', '/sys/fs/cgroup/cpu/cpu.cfs_period_us'];

/** At least 1; a fractional quota is rounded up. `read` returns the text of a file, or undefined if there is none. */
export function coreCount(available = availableParallelism(), read = readIfThere): number {
  const limits = read(VERSION_2)?.trim().split(' ') ?? VERSION_1.map((file) => read(file)?.trim());
  const [quota, period] = limits.map(Number) as [number, number];
  // Without a quota version 2 says "max" and version 1 says −1.
  const cores = quota > 0 && period > 0 ? Math.ceil(quota / period) : Infinity;
  return Math.max(1, Math.min(available, cores));
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
