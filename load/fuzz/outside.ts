/**
 * Fuzzes the real server, which runs as processes of their own with the memory of a small container. Beside the requests of
 * strangers a bystander at another address asks for a small classification every 50 ms.
 *
 * A fault is an answer that is none (verdict.ts), a process that dies, a bystander that waits, memory of the server itself that
 * does not come back. Which request a process has died of is found by sending again, one by one, those that ran then.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import { mostP99Ms } from '../chaos/bystander.js';
import { footprintOf } from '../chaos/footprint.js';
import { limitOf } from '../chaos/memory-limit.js';
import { createRandom, type Random } from '../chaos/random.js';
import { residentOf, startServer, type RunningServer } from '../server-process.js';
import { percentile } from '../statistics.js';
import type { Case, Fault } from './case-file.js';
import { exchange, type Exchange } from './exchange.js';
import { GENERATORS, rightRequests, type OutsideKind, type Samples } from './requests.js';
import { faultIn, kindOf } from './verdict.js';

export const DEADLINE_MS = 8000;
const REQUEST_TIMEOUT_MS = 3000;
/** Requests at the same time. */
const CLIENTS = 6;
/** Longer than any answer may take. */
const PATIENCE_MS = DEADLINE_MS + 5000;
const LOOK_MS = 500;
/** Requests that may have ended a process: the last so many before it was noticed. */
const SUSPECTS = 100;
const SETTLE_MS = 8000;
const MOST_GROWTH_MIB = 200;
const MOST_FILES = 20;
/** Requests of the bystander before the first case. */
const ALONE = 20;
const BYSTANDER = '127.0.0.2';

export interface FuzzedServer {
  /** Send requests of a kind until so many have been sent or the time is over. Resolves to their number. */
  fuzz(
    kind: OutsideKind,
    limits: { readonly cases: number; readonly milliseconds: number; readonly seed: number },
  ): Promise<number>;
  /** Send one again; resolves to what is wrong with it. */
  repeat(bytes: Buffer): Promise<string | undefined>;
  /** End it. Resolves to the lines of the report. */
  stop(): Promise<readonly string[]>;
}

export interface FuzzServerOptions extends Samples {
  /** A photograph for the bystander. */
  readonly photo: Buffer;
  /** Of all processes of the server together; 0: no limit. */
  readonly memoryMiB: number;
  readonly signal: AbortSignal;
  readonly onFault: (fault: Fault) => void;
  /** Of the whole, not of one request. */
  readonly onFailure: (message: string) => void;
}

/** Start the server, where the machine allows it under a limit of memory. */
export async function startFuzzedServer(options: FuzzServerOptions): Promise<FuzzedServer> {
  const { document, memoryMiB, signal, onFault, onFailure } = options;
  const memory = await limitOf(memoryMiB);
  const settings = {
    FULLCONV_DEADLINE_MS: String(DEADLINE_MS),
    FULLCONV_REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS),
    FULLCONV_DEFAULT_MODEL: 'tinyimagenet-resnet18-w48',
    FULLCONV_RENDERERS: '1',
  };
  const server = await startServer(settings, '.', memory?.launcher);
  const rules = { document, deadlineMs: DEADLINE_MS };
  const answers = new Map<string, number>();
  const sent: Case[] = [];
  /** Requests that ran when a process died. */
  const suspects: Case[] = [];
  const latencies: number[] = [];
  const over = new AbortController();
  /** Processes that have died: so far, and since the killers were last looked for. */
  let lost = 0;
  let deaths = 0;
  let peakMiB = 0;

  await warmUp(server.url, options);
  const before = await footprintOf(server);
  const alone: number[] = [];
  const agent = new Agent({ connections: 4, localAddress: BYSTANDER });
  while (alone.length < ALONE) alone.push(await askAsBystander());
  const watching = Promise.all([bystander(), watch()]);

  /** Resolves to the milliseconds until the answer. */
  async function askAsBystander(): Promise<number> {
    const started = performance.now();
    const status = await classify(server, options.photo, agent).catch((error: unknown) => String(error));
    if (status !== 200) onFailure(`the bystander was answered: ${status}`);
    return performance.now() - started;
  }

  async function bystander(): Promise<void> {
    while (!over.signal.aborted) {
      latencies.push(await askAsBystander());
      await sleep(50);
    }
    await agent.close();
  }

  /** Look at the memory, and at the processes that have died. */
  async function watch(): Promise<void> {
    while (!over.signal.aborted) {
      await sleep(LOOK_MS);
      peakMiB = Math.max(peakMiB, (await residentOf(server)) ?? 0);
      const died = await workersLost(server);
      if (died !== undefined && died > lost) {
        deaths += died - lost;
        lost = died;
        suspects.push(...sent.slice(-SUSPECTS));
      }
    }
  }

  async function send(one: Case): Promise<Exchange> {
    sent.push(one);
    if (sent.length > 2 * SUSPECTS) sent.splice(0, SUSPECTS);
    const found = await exchange(server.url, one.bytes, PATIENCE_MS);
    const kind = `${one.kind}: ${kindOf(found)}`;
    answers.set(kind, (answers.get(kind) ?? 0) + 1);
    const message = faultIn(one.bytes, found, rules);
    if (message !== undefined) onFault({ ...one, message });
    return found;
  }

  /** Which of the requests that ran when a process died end one again. */
  async function findKillers(): Promise<void> {
    if (deaths === 0) return;
    let isFound = false;
    for (const one of suspects.splice(0)) {
      const earlier = (await workersLost(server)) ?? 0;
      await exchange(server.url, one.bytes, PATIENCE_MS);
      // The process is gone a moment before the server knows.
      await sleep(20);
      const now = (await workersLost(server)) ?? 0;
      lost = Math.max(lost, now);
      if (now === earlier) continue;
      isFound = true;
      onFault({ ...one, message: 'a process of the server died of it' });
    }
    if (!isFound) onFailure(`${deaths} processes of the server died, and of none of the requests alone`);
    deaths = 0;
    suspects.length = 0;
  }

  return {
    async fuzz(kind, { cases, milliseconds, seed }) {
      const generate = GENERATORS[kind];
      const end = performance.now() + milliseconds;
      let next = 0;
      const client = async (): Promise<void> => {
        while (next < cases && performance.now() < end && !signal.aborted) {
          // Each case follows from its own number, whichever client sends it.
          const random: Random = createRandom(seed + 7919 * next);
          next += 1;
          await send({ kind, target: 'http', bytes: generate(random, options) });
        }
      };
      await Promise.all(Array.from({ length: CLIENTS }, client));
      await sleep(2 * LOOK_MS);
      await findKillers();
      return next;
    },
    async repeat(bytes) {
      const earlier = await workersLost(server);
      const message = faultIn(bytes, await exchange(server.url, bytes, PATIENCE_MS), rules);
      await sleep(LOOK_MS);
      return message ?? ((await workersLost(server)) === earlier ? undefined : 'a process of the server died of it');
    },
    async stop() {
      over.abort();
      await watching;
      await sleep(SETTLE_MS);
      const after = await footprintOf(server);
      const kills = (await memory?.kills()) ?? 0;
      const limitedPeakMiB = await memory?.peakMiB();
      await server.stop().catch((error: unknown) => onFailure(String(error)));
      await memory?.remove();
      const p99 = percentile(Float64Array.from(latencies).sort(), 0.99);
      const most = mostP99Ms(alone);
      if (p99 > most) onFailure(`a bystander's p99 was ${Math.round(p99)} ms, more than ${Math.round(most)} ms`);
      if (kills > 0) onFailure(`the system killed ${kills} processes for lack of memory`);
      if (after.ownMiB > before.ownMiB + MOST_GROWTH_MIB) onFailure("the server's own memory did not come back");
      if (after.files > before.files + MOST_FILES) onFailure('files stayed open');
      if (after.processes !== before.processes) onFailure('there are not as many processes as before');
      return [
        ...[...answers].sort().map(([kind, count]) => `${String(count).padStart(7)}  ${kind}`),
        `bystander: ${latencies.length} requests, p99 ${Math.round(p99)} ms; peak ${Math.round(peakMiB)} MiB` +
          (limitedPeakMiB === undefined ? '' : `, ${Math.round(limitedPeakMiB)} of ${memoryMiB} MiB with page cache`),
        ...Object.entries({ before, after }).map(
          ([when, { residentMiB, ownMiB, files, processes }]) =>
            `${when}: ${Math.round(residentMiB)} MiB (${Math.round(ownMiB)} of the server itself), ${files} open files, ${processes} processes`,
        ),
      ];
    },
  };
}

/** Let every process start, and everything run once: every question about every image. */
async function warmUp(url: string, samples: Samples): Promise<void> {
  for (const bytes of rightRequests(samples)) await exchange(url, bytes, PATIENCE_MS);
}

async function classify({ url }: RunningServer, photo: Buffer, dispatcher?: Agent): Promise<number> {
  const { statusCode, body } = await request(`${url}/v1/classify?topK=1`, {
    method: 'POST',
    body: photo,
    ...(dispatcher && { dispatcher }),
  });
  await body.dump();
  return statusCode;
}

/** Processes that died so far; undefined where the server does not say. */
async function workersLost({ url }: RunningServer): Promise<number | undefined> {
  const text = await request(`${url}/metrics`).then(
    ({ body }) => body.text(),
    () => '',
  );
  const [, count] = /^fullconv_workers_lost_total (\d+)/m.exec(text) ?? [];
  return count === undefined ? undefined : Number(count);
}
