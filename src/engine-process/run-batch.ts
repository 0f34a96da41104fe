/**
 * A batch of items, run: the images are decoded side by side, what decodes is stacked and run as one, and the outputs are
 * cut apart again. Items that have the same pixels, or the same pixels mirrored, are decoded once. An item that cannot be
 * decoded fails alone; the others run without it.
 */
import { splitItems, stackItems } from '../batching/batch-tensors.js';
import { createBufferPool } from '../buffer-pool.js';
import { mirror, type DecodeRequest } from '../images/decode.js';
import type { Work, WorkOutput } from '../inference/work.js';
import { machineNow } from '../machine-clock.js';
import type { InputPlan } from '../maps/input-plan.js';
import { toPlainError, type Outcome, type RanBatch } from '../processes/protocol.js';
import type { Ran } from '../runtime/worker-thread.js';
import type { Tensor, TensorMap } from '../tensor.js';

/** Feed buffers kept for the next batches: some full ones of usual size. What a process keeps is not in the account of memory. */
const MAX_FREE_BYTES = 16 * 2 ** 20;

/** Of a run's limit: an image that takes longer to decode fails before the whole run does. */
const DECODING_PART = 0.9;

/** An item that can be run. */
interface Ready {
  readonly index: number;
  readonly feeds: TensorMap;
  readonly decodeMs: number;
  readonly decodedAtMachineMs: number | undefined;
}

export interface BatchRunnerOptions {
  /** Pixels of an image, when it is its turn, within so many milliseconds if they are given (decoders.ts). */
  readonly decode: (request: DecodeRequest, limitMs?: number) => Promise<Uint8Array>;
  /** Run feeds in an open session. It gives their buffers back. */
  readonly run: (session: string, feeds: TensorMap) => Promise<Ran>;
}

export interface BatchRunner {
  /** `limitMs`: when nobody waits any more; absent: never. Rejects with the engine's message when the run fails. */
  run(session: string, works: readonly Work[], limitMs?: number): Promise<RanBatch<WorkOutput>>;
}

export function createBatchRunner({ decode: decodeInTurn, run }: BatchRunnerOptions): BatchRunner {
  const buffers = createBufferPool(MAX_FREE_BYTES);

  return {
    async run(session, works, limitMs) {
      const [first] = works;
      if (works.length === 1 && first !== undefined && 'batch' in first) {
        const { outputs, runMs, hasGrown } = await run(session, first.batch);
        const ranAtMachineMs = machineNow();
        return { outcomes: [{ output: { outputs, decodeMs: 0 } }], runMs, ranAtMachineMs, hasGrown };
      }
      const outcomes: Outcome<WorkOutput>[] = [];
      const decodeMs = limitMs === undefined ? undefined : DECODING_PART * limitMs;
      const decode = decodeOnce((request) => decodeInTurn(request, decodeMs));
      const prepared = await Promise.all(
        works.map(async (work, index): Promise<Ready | undefined> => {
          try {
            return { index, ...(await feedsOf(work, decode)) };
          } catch (error) {
            outcomes[index] = { error: toPlainError(error) };
            return undefined;
          }
        }),
      );
      const ready = prepared.filter((item) => item !== undefined);
      if (ready.length === 0) return { outcomes, runMs: 0, hasGrown: false };
      const feeds = stackItems(
        ready.map((item) => item.feeds),
        (byteLength) => buffers.acquire(byteLength),
      );
      const ran = await run(session, feeds);
      const ranAtMachineMs = machineNow();
      ran.buffers.forEach((buffer) => buffers.recycle(buffer));
      splitItems(ran.outputs, ready.length).forEach((outputs, position) => {
        const { index, decodeMs, decodedAtMachineMs } = ready[position]!;
        outcomes[index] = { output: { outputs, decodeMs, decodedAtMachineMs } };
      });
      return { outcomes, runMs: ran.runMs, ranAtMachineMs, hasGrown: ran.hasGrown };
    },
  };
}

interface Decoded {
  readonly pixels: Uint8Array;
  readonly decodeMs: number;
  readonly decodedAtMachineMs?: number;
}

type Decode = (request: DecodeRequest) => Promise<Decoded>;

async function feedsOf(work: Work, decode: Decode): Promise<Omit<Ready, 'index'>> {
  if ('batch' in work) throw new Error('a whole run cannot be part of a batch');
  if ('feeds' in work) return { feeds: work.feeds, decodeMs: 0, decodedAtMachineMs: undefined };
  const { image: request, classes } = work;
  const { width, height } = request.part ?? request.input.crop;
  const { pixels, decodeMs, decodedAtMachineMs } = await decode(request);
  const data = request.mirrored ? mirror(pixels, width) : pixels;
  const image: Tensor = { type: 'uint8', dims: [height, width, 3], data };
  if (classes === undefined) return { feeds: { image }, decodeMs, decodedAtMachineMs };
  const selectors: Tensor = { type: 'int64', dims: [classes.length], data: BigInt64Array.from(classes, BigInt) };
  return { feeds: { image, classes: selectors }, decodeMs, decodedAtMachineMs };
}

/** Objects that were the same when a batch was sent are the same when it has come. */
function decodeOnce(decode: (request: DecodeRequest) => Promise<Uint8Array>): Decode {
  const known = new Map<InputPlan, { readonly request: DecodeRequest; readonly decoding: Promise<Uint8Array> }[]>();
  return async (request) => {
    const started = performance.now();
    const ofInput = known.get(request.input) ?? [];
    known.set(request.input, ofInput);
    const same = ofInput.find(({ request: other }) => other.photo === request.photo && other.part === request.part);
    if (same !== undefined) return { pixels: await same.decoding, decodeMs: 0 };
    const decoding = decode(request);
    ofInput.push({ request, decoding });
    return { pixels: await decoding, decodeMs: performance.now() - started, decodedAtMachineMs: machineNow() };
  };
}
