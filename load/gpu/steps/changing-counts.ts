/**
 * What a change of the batch's count costs: two counts take turns in one session, each twice, so that every second run has the shape
 * of the run before. The session has planned the counts as the server plans them (`SessionSpec.warmUp`), or has not.
 */
import type { Engine, FeedShapes, SessionSpec } from '../../../src/runtime/session.js';
import { warmUp } from '../../../src/runtime/warm-up.js';
import type { TensorMap } from '../../../src/tensor.js';
import { median } from '../../statistics.js';
import { reasonOf, type StepContext } from '../step-task.js';

/** Too few for an engine to treat a shape that was not planned as one (runtime/onnxruntime/shape-sessions.ts). */
const ROUNDS = 5;

export interface ChangingCounts {
  readonly model: string;
  readonly spec: SessionSpec;
  readonly width: number;
  readonly height: number;
  /** Those that the server sends, rising. */
  readonly counts: readonly number[];
  /** For all of it; a run that goes on is waited for. */
  readonly seconds: number;
}

/** The smallest count with the largest, and the two below the largest, in which a server is that is half busy. */
export function pairsOf(counts: readonly number[]): (readonly [number, number])[] {
  const [smallest, largest] = [counts[0], counts.at(-1)];
  if (smallest === undefined || largest === undefined || smallest === largest) return [];
  const between = counts.slice(1, -1).slice(-2);
  return [[smallest, largest], ...(between.length === 2 ? [[between[0]!, between[1]!] as const] : [])];
}

/** Puts a row for each count of each pair, with the counts planned and not planned. */
export async function measureChangingCounts(
  context: StepContext,
  engine: Engine,
  { model, spec, width, height, counts, seconds }: ChangingCounts,
): Promise<void> {
  const end = performance.now() + seconds * 1000;
  const isOver = (): boolean => performance.now() >= end || context.left() <= 0;
  const pairs = pairsOf(counts);
  const shapes = pairs.flat().map((count): FeedShapes => {
    return { image: { type: 'uint8', dims: [count, height, width, 3] } };
  });
  const { device, numbers } = context;
  for (const planned of [true, false]) {
    if (pairs.length === 0 || isOver()) return;
    context.begin(`${model}, counts in turn${planned ? ', planned' : ''}`);
    const session = await engine.open(planned ? { ...spec, warmUp: shapes } : spec);
    try {
      await warmUp(session, shapes);
      for (const pair of pairs) {
        const times = await timeInTurn((feeds) => session.run(feeds), { pair, width, height, isOver });
        for (const [batch, { same, changed }] of times) {
          const other = pair.find((count) => count !== batch)!;
          context.put({
            ...{ table: 'changing-counts', key: `${device} ${numbers} ${model} ${batch} ${other} ${planned}` },
            ...{ device: device!, numbers: numbers!, model, batch, other, planned, runs: changed.length },
            ...{ sameMs: median(same), changedMs: median(changed) },
          });
        }
      }
    } catch (error) {
      context.note(`${model}, counts in turn: ${reasonOf(error)}`);
    } finally {
      await session.release();
    }
  }
}

interface InTurn {
  readonly pair: readonly [number, number];
  readonly width: number;
  readonly height: number;
  readonly isOver: () => boolean;
}

interface Times {
  readonly same: number[];
  readonly changed: number[];
}

/** At least one round, whatever the time. */
async function timeInTurn(
  run: (feeds: TensorMap) => Promise<TensorMap>,
  { pair, width, height, isOver }: InTurn,
): Promise<Map<number, Times>> {
  const once = async (count: number): Promise<number> => {
    const data = new Uint8Array(count * height * width * 3).fill(117);
    const started = performance.now();
    await run({ image: { type: 'uint8', dims: [count, height, width, 3], data } });
    return performance.now() - started;
  };
  const times = new Map<number, Times>(pair.map((count) => [count, { same: [], changed: [] }]));
  // The run before the first has the other count.
  await once(pair[1]);
  for (let round = 0; round === 0 || (round < ROUNDS && !isOver()); round += 1) {
    for (const [count, { same, changed }] of times) {
      changed.push(await once(count));
      same.push(await once(count));
    }
  }
  return times;
}
