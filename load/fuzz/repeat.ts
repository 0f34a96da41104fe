/** One case of a reader again, on this thread: for tests, and for whoever looks for the fault. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OperatorError } from '../../src/errors.js';
import type { Case } from './case-file.js';
import { runTarget } from './run-target.js';
import { TARGETS, type InsideKind } from './targets.js';

/** What is wrong; undefined if nothing is. Throws OperatorError where there is no such reader. */
export async function repeatInside({ kind, target: name, bytes }: Case): Promise<string | undefined> {
  const open = TARGETS[kind as InsideKind][name];
  if (open === undefined) throw new OperatorError(`${kind}-${name}: there is no such reader`);
  const folder = await mkdtemp(join(tmpdir(), 'fullconv-fuzz-'));
  try {
    const { run } = await (await open()).open(folder);
    return await runTarget(run, bytes);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
