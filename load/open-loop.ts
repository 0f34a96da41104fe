/**
 * Open loop: requests are sent when a schedule says, whether or not earlier ones have been answered, as by many
 * independent users. Latency counts from the scheduled moment, so that a request that the client itself sends late
 * hides nothing (hiding it is what wrk2's author calls coordinated omission). autocannon has no such schedule, hence
 * this client.
 */
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { poissonArrivals } from './arrivals.js';
import { sampleOf, watch, type Answer, type LoadSample } from './observe.js';
import { queueLatencies } from './queue-bound.js';
import { readMetrics } from './server-metrics.js';
import type { RunningServer } from './server-process.js';
import { latencyOf } from './statistics.js';
import type { PreparedRequest, Traffic } from './traffic.js';

export interface OpenSample extends LoadSample {
  /** Images a second that were due. */
  readonly offered: number;
  /** Part of the requests that were sent more than `LATE_MS` after they were due. */
  readonly late: number;
  /** The 99th percentile that no server of that capacity can beat with these arrivals (queue-bound.ts); absent: not asked for. */
  readonly boundP99Ms?: number;
}

/** Seconds of the schedule before answers count: the queue has to form. */
const RAMP_S = 1;
const LATE_MS = 5;
const TIMEOUT_MS = 120_000;
/** How often, and for how long, a server is looked at that still does what was asked before. */
const LOOK_MS = 100;
const MOST_LOOKS = 100;

export interface OpenLoad {
  readonly perSecond: number;
  readonly seconds: number;
  readonly seed: number;
  /** What the server can do, for the bound of its latency. */
  readonly capacity?: { readonly workers: number; readonly perSecond: number };
}

export async function openLoop(
  server: RunningServer,
  traffic: Traffic,
  { perSecond, seconds, seed, capacity }: OpenLoad,
  signal: AbortSignal,
): Promise<OpenSample> {
  const arrivals = poissonArrivals(perSecond, RAMP_S + seconds, seed);
  const first = arrivals.findIndex((at) => at >= RAMP_S * 1000);
  const ramp = first < 0 ? arrivals.length : first;
  const requests = traffic.random(arrivals.length, seed);
  // As many connections as there are requests in flight, kept open.
  const pool = new Pool(server.url, { headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
  await untilIdle(server, signal);
  const start = performance.now();
  const sent: Promise<Answer>[] = [];
  let late = 0;

  async function sendUntil(end: number, from: number): Promise<void> {
    for (let next = from; next < end; next++) {
      const due = start + arrivals[next]!;
      const ahead = due - performance.now();
      // Without a turn of the event loop, a client that is behind schedule would see no answer.
      await (ahead > 0 ? sleep(ahead, undefined, { signal }) : turn(undefined, { signal }));
      if (next >= ramp && performance.now() - due > LATE_MS) late++;
      sent.push(send(pool, requests[next]!, due));
    }
  }

  try {
    await sendUntil(ramp, 0);
    const window = await watch(server, () => sendUntil(arrivals.length, ramp));
    const answers = await Promise.all(sent);
    const timed = answers.slice(ramp);
    return {
      ...sampleOf(window, answers, timed),
      offered: timed.length / seconds,
      late: late / Math.max(1, timed.length),
      ...(capacity !== undefined && { boundP99Ms: boundOf(arrivals, ramp, capacity) }),
    };
  } finally {
    await pool.destroy();
  }
}

function boundOf(
  arrivals: readonly number[],
  ramp: number,
  { workers, perSecond }: NonNullable<OpenLoad['capacity']>,
): number {
  return latencyOf(queueLatencies(arrivals, workers, (1000 * workers) / perSecond).slice(ramp)).p99Ms;
}

/** A server computes for a moment what clients asked that have left. */
async function untilIdle({ url }: RunningServer, signal: AbortSignal): Promise<void> {
  for (let looks = 0; looks < MOST_LOOKS; looks++) {
    const inFlight = (await readMetrics(url)).filter(({ name }) => name === 'fullconv_images_in_flight');
    if (inFlight.every(({ value }) => value === 0)) return;
    await sleep(LOOK_MS, undefined, { signal });
  }
}

async function send(pool: Pool, request: PreparedRequest, due: number): Promise<Answer> {
  const answer = (ok: boolean): Answer => {
    const at = performance.now();
    return { at, milliseconds: at - due, ok };
  };
  try {
    const { statusCode, body } = await pool.request(request);
    await body.dump({ limit: Infinity });
    return answer(statusCode === 200);
  } catch {
    return answer(false);
  }
}
