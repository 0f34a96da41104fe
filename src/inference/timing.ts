/** The timing that an answer reports. */

export interface Timing {
  readonly decodeMs: number;
  /** Waiting for a decoder and for a worker. */
  readonly queueMs: number;
  readonly inferMs: number;
  readonly batchSize: number;
}

/** The phases of a request that are measured; see http/metrics.ts. */
export type Phase = 'decode' | 'queue' | 'infer' | 'render';
/** `traceId`: of the request, if it is traced. */
export type PhaseObserver = (phase: Phase, model: string, milliseconds: number, traceId?: string) => void;

/** Of images that are answered side by side: what one of them took at most. */
export type Longest = Pick<Timing, 'decodeMs' | 'queueMs' | 'inferMs'>;

export function longest(timings: readonly Timing[]): Longest {
  const most = (phase: keyof Longest): number => Math.max(0, ...timings.map((timing) => timing[phase]));
  return { decodeMs: most('decodeMs'), queueMs: most('queueMs'), inferMs: most('inferMs') };
}

/** The timing of several passes: the sums of decoding and inference, the longest wait, the largest batch. */
export function sumTimings(timings: readonly Timing[]): Timing {
  const sum = (pick: (timing: Timing) => number): number => timings.reduce((total, timing) => total + pick(timing), 0);
  return {
    decodeMs: sum((timing) => timing.decodeMs),
    queueMs: Math.max(0, ...timings.map((timing) => timing.queueMs)),
    inferMs: sum((timing) => timing.inferMs),
    batchSize: Math.max(0, ...timings.map((timing) => timing.batchSize)),
  };
}
