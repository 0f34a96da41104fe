/**
 * Closed loop, by autocannon: each client sends the next photo when it has its answer. This finds out how much the
 * server can do. The latencies are those of clients that wait for each other, and say little about independent users.
 */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';
import { sampleOf, watch, type Answer, type LoadSample } from './observe.js';
import type { RunningServer } from './server-process.js';
import type { Traffic } from './traffic.js';

/** The load lasts at least this long before it is measured, and until every client has had an answer. */
const RAMP_S = 1;
/** Longer is waited for no answer. */
const LONGEST_WAIT_S = 60;
const TIMEOUT_S = 120;
const POLL_MS = 20;

export async function closedLoop(
  server: RunningServer,
  traffic: Traffic,
  clients: number,
  seconds: number,
  signal: AbortSignal,
): Promise<LoadSample> {
  const crowd = startClients(server.url, traffic, clients);
  try {
    await rampUp(() => crowd.answers.length >= clients, signal);
    // A large net answers fewer times in these seconds than there are clients, and would be measured by chance.
    const enough = crowd.answers.length + clients;
    const window = await watch(server, () => atLeast(seconds, () => crowd.answers.length >= enough, signal));
    return sampleOf(window, crowd.answers);
  } finally {
    await crowd.stop();
  }
}

/** Clients that ask until they are stopped. */
export interface Clients {
  /** Grows. */
  readonly answers: readonly Answer[];
  stop(): Promise<void>;
}

/** `first`: the index of the first client, where others ask besides these: each begins with other photographs. */
export function startClients(url: string, traffic: Traffic, clients: number, first = 0): Clients {
  const answers: Answer[] = [];
  let started = first;
  const instance = autocannon(
    {
      url,
      connections: clients,
      // Longer than any measurement: `stop` ends it.
      duration: 24 * 3600,
      timeout: TIMEOUT_S,
      setupClient: (client) => client.setRequests(traffic.forClient(started++)),
    },
    () => undefined,
  );
  const over = once(instance, 'done');
  const record = (milliseconds: number, ok: boolean): void => {
    answers.push({ at: performance.now(), milliseconds, ok });
  };
  instance.on('response', (_client, status, _bytes, milliseconds) => record(milliseconds, status === 200));
  instance.on('reqError', () => record(NaN, false));
  return {
    answers,
    async stop() {
      instance.stop();
      await over;
    },
  };
}

/** Wait for the least time of a load before it is measured, and until it is `done`, up to a limit. */
export async function rampUp(done: () => boolean, signal: AbortSignal): Promise<void> {
  await atLeast(RAMP_S, done, signal);
}

async function atLeast(seconds: number, done: () => boolean, signal: AbortSignal): Promise<void> {
  const begun = performance.now();
  await sleep(seconds * 1000, undefined, { signal });
  while (!done() && performance.now() - begun < LONGEST_WAIT_S * 1000) await sleep(POLL_MS, undefined, { signal });
}
