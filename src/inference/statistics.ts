/**
 * What each model has done since the server started: requests and the time they took, images, and runs by the size of their
 * batch. Images and runs are counted where they run, requests where they are answered, and those answered from the cache there.
 */
import type { Longest } from './timing.js';

/** What is asked of a model. */
export type Asked = 'scores' | 'maps';

/** So many, and the time that all of them took together. */
export interface Tally {
  count: number;
  ms: number;
}

export interface ModelStatistics {
  readonly success: Tally;
  readonly fail: Tally;
  /** Of requests that succeeded: waiting, decoding, and the run that an image was in; of several images the longest. */
  readonly queue: Tally;
  readonly decode: Tally;
  readonly infer: Tally;
  /** Of requests that were looked up among the answers that are kept, and the time that this took. Hits are successes. */
  readonly hit: Tally;
  readonly miss: Tally;
  /** Images that ran, once for each pass. */
  images: number;
  /** Runs, by the number of images in them. */
  readonly batches: Map<number, Tally>;
  /** Of the last answer, in milliseconds since 1970; 0 before it. */
  lastAnswer: number;
}

export interface AnsweredRequest {
  readonly model: string;
  readonly version: string;
  readonly asked: Asked;
  /** From its admission to its answer. */
  readonly ms: number;
  /** Undefined: it failed. */
  readonly timing: Longest | undefined;
}

export interface LookedUpRequest extends Pick<AnsweredRequest, 'model' | 'version' | 'asked'> {
  /** Nothing was computed for it. */
  readonly isHit: boolean;
  /** Of the lookup, and for a miss of keeping its answer. */
  readonly ms: number;
}

export interface Statistics {
  observeRequest(request: AnsweredRequest): void;
  observeLookup(request: LookedUpRequest): void;
  observeRun(run: { readonly session: string; readonly batchSize: number; readonly inferMs: number }): void;
  of(model: string, version: string, asked: Asked): ModelStatistics;
}

export function createStatistics(): Statistics {
  const all = new Map<string, ModelStatistics>();

  function of(model: string, version: string, asked: Asked): ModelStatistics {
    const key = `${model}@${version}/${asked}`;
    const statistics = all.get(key) ?? empty();
    all.set(key, statistics);
    return statistics;
  }

  function succeed(statistics: ModelStatistics, ms: number, queueMs: number): void {
    add(statistics.success, ms);
    add(statistics.queue, queueMs);
    statistics.lastAnswer = Math.round(performance.timeOrigin + performance.now());
  }

  return {
    of,
    observeRequest({ model, version, asked, ms, timing }) {
      const statistics = of(model, version, asked);
      if (timing === undefined) {
        add(statistics.fail, ms);
        return;
      }
      succeed(statistics, ms, timing.queueMs);
      add(statistics.decode, timing.decodeMs);
      add(statistics.infer, timing.inferMs);
    },
    observeLookup({ model, version, asked, isHit, ms }) {
      const statistics = of(model, version, asked);
      add(isHit ? statistics.hit : statistics.miss, ms);
      if (isHit) succeed(statistics, ms, 0);
    },
    observeRun({ session, batchSize, inferMs }) {
      const { model, version, view } = viewOf(session);
      const statistics = of(model, version, SCORE_VIEWS.includes(view) ? 'scores' : 'maps');
      statistics.images += batchSize;
      const tally = statistics.batches.get(batchSize) ?? { count: 0, ms: 0 };
      statistics.batches.set(batchSize, tally);
      add(tally, inferMs);
    },
  };
}

/** As compile.ts makes it: name, version, digest and load, view. */
const SESSION_ID = /^(.*)@(\d+)#[^/]*\/(.*)$/;
const SCORE_VIEWS: readonly string[] = ['classify', 'score'];

/** What a session's id says: its model, and the view of it. */
export function viewOf(session: string): { readonly model: string; readonly version: string; readonly view: string } {
  const [, model = '', version = '', view = ''] = SESSION_ID.exec(session) ?? [];
  return { model, version, view };
}

function add(tally: Tally, ms: number): void {
  tally.count += 1;
  tally.ms += ms;
}

function empty(): ModelStatistics {
  const tally = (): Tally => ({ count: 0, ms: 0 });
  return {
    ...{ success: tally(), fail: tally(), queue: tally(), decode: tally(), infer: tally() },
    ...{ hit: tally(), miss: tally() },
    ...{ images: 0, batches: new Map<number, Tally>(), lastAnswer: 0 },
  };
}
