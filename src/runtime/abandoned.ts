/**
 * What a process left behind that died while it wrote: files and folders whose names end in `.tmp`, which become what they
 * are to be only when they are whole.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Nobody writes for so long. */
const ABANDONED_MS = 24 * 60 * 60 * 1000;

/** Whether a name is that of something unfinished. */
export function isUnfinished(name: string): boolean {
  return name.endsWith('.tmp');
}

/** Remove what has been unfinished in `folder` for a day. What cannot be looked at or removed stays. */
export async function removeAbandoned(folder: string): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  const removals = names.filter(isUnfinished).map(async (name) => {
    const path = join(folder, name);
    const { mtimeMs } = await stat(path);
    if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true });
  });
  await Promise.allSettled(removals);
}
