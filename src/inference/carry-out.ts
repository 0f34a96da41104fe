/**
 * An image's plan carried out: **run → read → combine**. What goes in is plain data, the encoded bytes and the plan, and so
 * is what comes out. Nothing here knows a model, its registry or HTTP; a pass's session is held open by whoever knows those.
 */
import type { Batcher } from '../batching/batcher.js';
import type { Background, EncodedPhoto } from '../images/decode.js';
import type { Steps } from '../maps/steps.js';
import type { TensorMap } from '../tensor.js';
import { inTurns } from '../turns.js';
import { checkClassMap, multiplyAddsOf, type ImagePlan, type PassPlan } from './plan.js';
import { allTogether, checkAlive, type RequestContext } from './request-context.js';
import { runPass } from './run-pass.js';
import { sumTimings, type PhaseObserver, type Timing } from './timing.js';
import type { Work, WorkOutput } from './work.js';

/** How a question turns the sessions' outputs into an answer. Pure: tensors and plans in, plain data out. */
export interface Reader<Reading, Answer> {
  /** Turn the outputs of one pass into what `combine` takes. */
  read(outputs: TensorMap, pass: PassPlan): Reading;
  /** What `combine` needs from every pass, decided once all of them are read. Left out: nothing more than was read. */
  need?(readings: readonly Reading[]): Steps<Need>;
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

export interface CarryOutOptions {
  readonly batcher: Batcher<Work, WorkOutput>;
  /** Behind transparent pixels. */
  readonly background: Background;
  readonly observe: PhaseObserver;
}

export interface Done<Answer> {
  readonly answer: Answer;
  readonly timing: Timing;
}

/** Carries out an image's plan. Rejects with the ServiceError of the first pass that fails. */
export type CarryOut = <Reading, Answer>(job: Job<Reading, Answer>, context: RequestContext) => Promise<Done<Answer>>;

export function createCarryOut({ batcher, background, observe }: CarryOutOptions): CarryOut {
  return async ({ bytes, plan, reader, withSession }, context) => {
    // One object for all passes: what is decoded from the same photo can be told.
    const photo: EncodedPhoto = { bytes, header: plan.header };
    const { interpolation, model } = plan;
    const timings: Timing[] = [];
    const { notes } = context;
    const traceId = notes?.trace?.traceId;

    const runAndRead = (passes: readonly PassPlan[], classes: readonly number[] | undefined) =>
      allTogether(
        context,
        passes.map(
          (pass) => (shared) =>
            withSession(pass, shared, async (session) => {
              const { outputs, ...timing } = await runPass(
                batcher,
                { pass, session, photo, interpolation, background, classes },
                shared,
              );
              if (timing.decodeMs > 0) observe('decode', model, timing.decodeMs, traceId);
              observe('queue', model, timing.queueMs, traceId);
              if (notes !== undefined) notes.macs += pass.cost;
              timings.push(timing);
              return reader.read(outputs, pass);
            }),
        ),
      );

    const readings = await runAndRead(plan.passes, plan.classes);
    const needing = reader.need?.(readings);
    const { classes, lacking } = needing === undefined ? NOTHING : await inTurns(needing, () => checkAlive(context));
    if (lacking.length > 0) {
      const passes = lacking.map((position) => plan.passes[position]!);
      context.budget?.owe(multiplyAddsOf(passes));
      for (const pass of passes) checkClassMap(pass, plan.classCount, classes.length);
      const again = await runAndRead(passes, classes);
      lacking.forEach((position, index) => (readings[position] = again[index]!));
    }
    const answer = await reader.combine(readings, plan, classes);
    return { answer, timing: sumTimings(timings) };
  };
}
