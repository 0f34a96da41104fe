/** Observes a server under load for a stretch of time: what the clients saw, and what the server did meanwhile. */
import { activityBetween, readMetrics, type ServerActivity } from './server-metrics.js';
import { forgetPeak, peakOf, processorSeconds, type RunningServer } from './server-process.js';
import { latencyOf, type Latency } from './statistics.js';

export interface Answer {
  /** When it was complete, in milliseconds of `performance.now()`. */
  readonly at: number;
  /** From the request, or from when it should have been sent. */
  readonly milliseconds: number;
  readonly ok: boolean;
}

export interface LoadSample extends Latency, ServerActivity {
  /** Images that were answered. */
  readonly imagesPerSecond: number;
  /** Peak of the server's resident memory; absent if the system does not tell it. */
  readonly peakMiB?: number;
  /** Requests that were refused, failed, or had no answer. */
  readonly errors: number;
}

export interface Window {
  readonly startedAt: number;
  readonly endedAt: number;
  readonly activity: ServerActivity;
  readonly peakMiB?: number;
}

/** Watch the server until `work` is done. */
export async function watch(server: RunningServer, work: () => Promise<void>): Promise<Window> {
  await forgetPeak(server);
  const before = await readMetrics(server.url);
  const processorBefore = await processorSeconds(server);
  const startedAt = performance.now();
  await work();
  const after = await readMetrics(server.url);
  const endedAt = performance.now();
  const processorAfter = await processorSeconds(server);
  const seconds = (endedAt - startedAt) / 1000;
  const peakMiB = await peakOf(server);
  return {
    startedAt,
    endedAt,
    activity: {
      ...activityBetween(before, after, seconds),
      // What the server says of itself is its own process's alone.
      ...(processorBefore === undefined || processorAfter === undefined
        ? {}
        : { cores: (processorAfter - processorBefore) / seconds }),
    },
    ...(peakMiB === undefined ? {} : { peakMiB }),
  };
}

/**
 * The figures of a window. `timed` holds the answers whose latency and errors count; default: those that came in the
 * window.
 */
export function sampleOf(window: Window, answers: readonly Answer[], timed?: readonly Answer[]): LoadSample {
  const { startedAt, endedAt, activity, peakMiB } = window;
  const within = answers.filter(({ at }) => at >= startedAt && at < endedAt);
  const counted = timed ?? within;
  const answered = within.filter(({ ok }) => ok).length;
  return {
    imagesPerSecond: (answered * 1000) / (endedAt - startedAt),
    ...latencyOf(counted.filter(({ ok }) => ok).map(({ milliseconds }) => milliseconds)),
    ...activity,
    ...(peakMiB === undefined ? {} : { peakMiB }),
    errors: counted.filter(({ ok }) => !ok).length,
  };
}
