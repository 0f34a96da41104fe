/**
 * Images a second of the engine alone: one session, batches of pixels in, logits out, in the process of the step. Encoded photos do
 * not come into it, nor do messages between processes.
 */
import { coreCount } from '../../../src/cores.js';
import { pixelSize } from '../../../src/maps/input-plan.js';
import { usualView } from '../../../src/models/compile.js';
import type { TensorMap } from '../../../src/tensor.js';
import { median } from '../../statistics.js';
import { deviceMemory } from '../device-memory.js';
import { compileFor, folderOf } from '../models.js';
import { howToCompute } from '../numbers.js';
import { partsOf } from '../plan.js';
import { reasonOf, type StepContext } from '../step-task.js';
import { measureChangingCounts } from './changing-counts.js';

/** Runs of a batch that are timed, and for how long at most. */
const MAX_RUNS = 50;
const MIN_RUNS = 3;
const LONGEST_S = 1.5;

/** For changing counts, of the first model: at most, and as a part of what the step has. */
const CHANGING_S = 5;
const CHANGING_PART = 1 / 4;

export async function measureEngine(context: StepContext): Promise<void> {
  const { device, numbers, settings } = context;
  const { engine: description, kind } = partsOf(device!);
  const how = howToCompute(description, kind, numbers!);
  if ('cannot' in how) {
    context.skip(how.cannot);
    return;
  }
  const engine = await description.load({ threads: coreCount(), device: { kind, index: 0 } });
  const batches = byWorth(settings.batches);
  const largest = Math.max(...batches);
  const { maxBatch } = description.policy(kind, coreCount());
  const served = settings.batches.filter((batch) => batch <= maxBatch).toSorted((a, b) => a - b);
  const left: string[] = [];
  for (const [index, name] of settings.models.entries()) {
    if (context.left() <= 0) {
      left.push(name);
      continue;
    }
    // An equal share for each model that is left, so that one whose kernels take long to find does not take the others' time.
    const until = context.left() - context.left() / Math.min(3, settings.models.length - index);
    try {
      context.begin(`opening ${name}`);
      const model = await compileFor(context, await folderOf(context, name));
      const { digest: _, ...spec } = usualView(model).session;
      const { width, height } = pixelSize(model.manifest.input.size);
      if (index === 0) {
        const seconds = Math.min(CHANGING_S, CHANGING_PART * context.left());
        await measureChangingCounts(context, engine, { model: name, spec, width, height, counts: served, seconds });
      }
      const session = await engine.open(spec);
      const gmacs = usualView(model).multiplyAdds({ width, height }) / 1e9;
      try {
        for (const batch of batches) {
          if (context.left() <= until && batch !== batches[0]) {
            left.push(`${name} at ${batch}`);
            continue;
          }
          const seconds = Math.min(LONGEST_S, Math.max(0.1, (context.left() - until) / batches.length));
          context.begin(`${name}, a batch of ${batch}`);
          const isOver = (): boolean => context.left() <= 0;
          const timed = await time((feeds) => session.run(feeds), { batch, width, height, seconds, isOver });
          const deviceMiB = batch === largest ? await deviceMemory() : undefined;
          context.put({
            ...{ table: 'engine', key: `${device} ${numbers} ${name} ${batch}`, device: device!, numbers: numbers! },
            ...{ model: name, batch, gmacs: gmacs * batch, ...timed, perSecond: (1000 * batch) / timed.ms },
            ...(deviceMiB !== undefined && { deviceMiB }),
          });
        }
      } finally {
        await session.release();
      }
    } catch (error) {
      context.note(`${name}: ${reasonOf(error)}`);
    }
  }
  if (left.length > 0) context.note(`no time was left for ${left.join(', ')}`);
}

/** The smallest, the one that the server uses most, and the largest first: they say what the others are between. */
function byWorth(batches: readonly number[]): number[] {
  const sorted = batches.toSorted((a, b) => a - b);
  const first = [sorted[0]!, ...sorted.filter((batch) => batch === 32), sorted.at(-1)!];
  return [...new Set([...first, ...sorted.toReversed()])];
}

interface Timing {
  readonly batch: number;
  readonly width: number;
  readonly height: number;
  readonly seconds: number;
  /** Ends it after the run that goes on. */
  readonly isOver: () => boolean;
}

async function time(
  run: (feeds: TensorMap) => Promise<TensorMap>,
  { batch, width, height, seconds, isOver }: Timing,
): Promise<{ readonly ms: number; readonly firstMs: number; readonly runs: number }> {
  const once = async (): Promise<number> => {
    const data = new Uint8Array(batch * height * width * 3).fill(117);
    const started = performance.now();
    await run({ image: { type: 'uint8', dims: [batch, height, width, 3], data } });
    return performance.now() - started;
  };
  const firstMs = await once();
  // The second is not yet as fast as the others either.
  if (!isOver()) await once();
  const times: number[] = [];
  const end = performance.now() + seconds * 1000;
  const isEnough = (): boolean => times.length >= MAX_RUNS || (times.length >= MIN_RUNS && performance.now() >= end);
  do times.push(await once());
  while (!isEnough() && !isOver());
  return { ms: median(times), firstMs, runs: times.length };
}
