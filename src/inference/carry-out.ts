/**
 * Carries out an image's plan: **pixels → run → read → combine**. Takes plain data (the encoded bytes and the plan) and
 * gives plain data. Nothing here knows a model, its registry or HTTP: the caller's `SessionHolder` keeps a pass's
 * session open.
 */
import type { Batcher } from '../batching/batcher.js';
import type { TensorMap } from '../tensor.js';
import { createDecoder, type DecoderOptions } from './pixels.js';
import { checkClassMap, type ImagePlan, type PassPlan } from './plan.js';
import { allTogether, type RequestContext } from './request-context.js';
import { runPass } from './run-pass.js';
import { sumTimings, type Timing } from './timing.js';

/** How a question turns the sessions' outputs into an answer. Pure: tensors and plans in, plain data out. */
export interface Reader<Reading, Answer> {
  /** Turn the outputs of one pass into what `combine` takes. */
  read(outputs: TensorMap, pass: PassPlan): Reading;
  /** What `combine` needs from every pass, decided once all of them are read. Left out: nothing more than was read. */
  need?(readings: readonly Reading[]): Need;
  /** Turn the readings of the passes, in the plan's order, into the answer. `classes` are those of `need`. */
  combine(readings: readonly Reading[], plan: ImagePlan, classes: readonly number[]): Answer | Promise<Answer>;
}

/** Classes whose maps every pass must give. */
export interface Need {
  readonly classes: readonly number[];
  /** Positions of the passes that lack one of these maps. They are run again, for these classes. */
  readonly lacking: readonly number[];
}

const NOTHING: Need = { classes: [], lacking: [] };

export interface Job<Reading, Answer> {
  /** An encoded photo. */
  readonly bytes: Uint8Array;
  /** The plan for these bytes. */
  readonly plan: ImagePlan;
  readonly reader: Reader<Reading, Answer>;
  readonly withSession: SessionHolder;
}

/** Do `work` with the id of a pass's session. The session stays open until `work` has settled. */
export type SessionHolder = <T>(
  pass: PassPlan,
  context: RequestContext,
  work: (session: string) => Promise<T>,
) => Promise<T>;

export interface CarryOutOptions extends DecoderOptions {
  readonly batcher: Batcher;
}

export interface Done<Answer> {
  readonly answer: Answer;
  readonly timing: Timing;
}

/** Carries out an image's plan. Rejects with the ServiceError of the first pass that fails. */
export type CarryOut = <Reading, Answer>(job: Job<Reading, Answer>, context: RequestContext) => Promise<Done<Answer>>;

export function createCarryOut({ batcher, ...decoder }: CarryOutOptions): CarryOut {
  const openPixels = createDecoder(decoder);

  return async ({ bytes, plan, reader, withSession }, context) => {
    const pixelsOf = openPixels(bytes, plan);
    const timings: Timing[] = [];

    const runAndRead = (passes: readonly PassPlan[], classes: readonly number[] | undefined) =>
      allTogether(
        context,
        passes.map(
          (pass) => (shared) =>
            withSession(pass, shared, async (session) => {
              const { pixels, waitedMs, decodeMs } = await pixelsOf(pass, shared);
              const ran = await runPass(batcher, { pass, session, pixels, classes }, shared);
              const { outputs, inferMs, batchSize } = ran;
              const queueMs = waitedMs + ran.queueMs;
              decoder.observe('queue', plan.model, queueMs);
              timings.push({ decodeMs, queueMs, inferMs, batchSize });
              return reader.read(outputs, pass);
            }),
        ),
      );

    const readings = await runAndRead(plan.passes, plan.classes);
    const { classes, lacking } = reader.need?.(readings) ?? NOTHING;
    if (lacking.length > 0) {
      const passes = lacking.map((position) => plan.passes[position]!);
      for (const pass of passes) checkClassMap(pass, plan.classCount, classes.length);
      const again = await runAndRead(passes, classes);
      lacking.forEach((position, index) => (readings[position] = again[index]!));
    }
    const answer = await reader.combine(readings, plan, classes);
    return { answer, timing: sumTimings(timings) };
  };
}
