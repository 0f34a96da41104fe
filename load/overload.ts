/**
 * `npm run load:overload`: what becomes of a server that is asked many times what it can answer, by clients on the same
 * cores. First the peak of a closed loop, then requests at random times at a multiple of it. Prints how much is still
 * answered (goodput), how long accepted requests and refusals took, and how many connections broke.
 */
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { poissonArrivals } from './arrivals.js';
import { closedLoop } from './closed-loop.js';
import { interruption, runCommand } from './command.js';
import { lightClient, type LightClient } from './light-client.js';
import { watch } from './observe.js';
import { positive, whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { architectureOf, SAMPLES, servedName } from './scenario.js';
import { startServer, type RunningServer } from './server-process.js';
import { latencyOf } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { trafficOf, type PreparedRequest, type Traffic } from './traffic.js';

const HELP = `npm run load:overload -- [options]
  --model NAME     a model, or an architecture to serve untrained (the default model)
  --times N        requests, as a multiple of what the server can answer (10)
  --seconds S      seconds of each measurement (10)
  --deadline MS    the server's deadline for a request (30000)
  --photos DIR     photographs to send (${SAMPLES})
`;

/** Seconds of the schedule before answers count: the queue has to form. */
const RAMP_S = 2;
/** The peak is that of so many clients. */
const CLIENTS = 32;

interface Ended {
  readonly at: number;
  /** From when it was sent. */
  readonly milliseconds: number;
  /** `broken`: no whole answer. */
  readonly kind: 'accepted' | 'refused' | 'broken';
}

interface Row {
  readonly figure: string;
  readonly value: string;
}

async function overload(
  server: RunningServer,
  traffic: Traffic,
  asked: number,
  seconds: number,
  signal: AbortSignal,
): Promise<{ ended: Ended[]; goodput: number; loopMs: number; ownMs: number; clientMs: number; sent: number }> {
  const arrivals = poissonArrivals(asked, RAMP_S + seconds, 1);
  const requests = traffic.random(arrivals.length, 1);
  const client = lightClient(server.url);
  const start = performance.now();
  const sent: Promise<Ended>[] = [];
  let next = 0;
  /** All that is due leaves at once: a client that is behind its schedule sees answers between, and catches up. */
  async function sendUntil(endMs: number): Promise<void> {
    while (next < arrivals.length && arrivals[next]! < endMs) {
      const ahead = start + arrivals[next]! - performance.now();
      await (ahead > 0 ? sleep(ahead, undefined, { signal }) : turn(undefined, { signal }));
      const now = performance.now() - start;
      for (; next < arrivals.length && arrivals[next]! <= Math.min(now, endMs); next++) {
        sent.push(send(client, requests[next]!));
      }
    }
  }
  try {
    await sendUntil(RAMP_S * 1000);
    const ramp = sent.length;
    const clientBefore = process.cpuUsage();
    const window = await watch(server, () => sendUntil(Infinity));
    const { user, system } = process.cpuUsage(clientBefore);
    const all = await Promise.all(sent);
    const within = all.filter(({ at, kind }) => kind === 'accepted' && at >= window.startedAt && at < window.endedAt);
    const windowS = (window.endedAt - window.startedAt) / 1000;
    const perSecond = (sent.length - ramp) / windowS;
    return {
      ended: all.slice(ramp),
      goodput: within.length / windowS,
      loopMs: window.activity.eventLoopP99Ms,
      ownMs: (1000 * window.activity.ownCores) / perSecond,
      clientMs: (user + system) / 1000 / (sent.length - ramp),
      sent: perSecond,
    };
  } finally {
    client.close();
  }
}

async function send(client: LightClient, request: PreparedRequest): Promise<Ended> {
  const sentAt = performance.now();
  const status = await client.send(request);
  const at = performance.now();
  const kind = status === 200 ? 'accepted' : status === 503 || status === 429 ? 'refused' : 'broken';
  return { at, milliseconds: at - sentAt, kind };
}

const COLUMNS: readonly Column<Row>[] = [
  ['figure', (row) => row.figure],
  ['', ({ value }) => value],
];

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: '' },
      times: { type: 'string', default: '10' },
      seconds: { type: 'string', default: '10' },
      deadline: { type: 'string', default: '30000' },
      photos: { type: 'string', default: SAMPLES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const [times, seconds] = [positive('--times')(values.times), positive('--seconds')(values.seconds)];
  const signal = interruption();
  const model = values.model === '' ? 'imagenet-efficientnet-lite0' : servedName(values.model, 'fp32');
  const images = new Map([['photos', await readPhotos(values.photos)]]);
  const traffic = trafficOf([{ model, size: 'photos' }], 'classify', images);
  const server = await startServer({
    FULLCONV_UNTRAINED: architectureOf(model) ?? '',
    FULLCONV_DEFAULT_MODEL: '',
    FULLCONV_DEADLINE_MS: String(whole('--deadline', values.deadline)),
  });
  try {
    const peak = await closedLoop(server, traffic, CLIENTS, seconds, signal);
    const { ended, goodput, loopMs, ownMs, clientMs, sent } = await overload(
      server,
      traffic,
      times * peak.imagesPerSecond,
      seconds,
      signal,
    );
    const of = (kind: Ended['kind']): number[] =>
      ended.filter((each) => each.kind === kind).map(({ milliseconds }) => milliseconds);
    const [accepted, refused] = [latencyOf(of('accepted')), latencyOf(of('refused'))];
    const rows = {
      'peak, images/s': figure(peak.imagesPerSecond),
      'sent, images/s': figure(sent),
      'goodput, images/s': figure(goodput),
      'goodput / peak': (goodput / peak.imagesPerSecond).toFixed(2),
      'accepted, p50 ms': figure(accepted.p50Ms),
      'accepted, p99 ms': figure(accepted.p99Ms),
      'refused, p50 ms': figure(refused.p50Ms),
      'refused, p99 ms': figure(refused.p99Ms),
      broken: String(of('broken').length),
      'event loop late, p99 ms': figure(loopMs),
      "server's own process, processor ms a request": figure(ownMs),
      'client, processor ms a request': figure(clientMs),
    };
    process.stdout.write(
      `${machineLine(await describeMachine())}; ${model}, ${CLIENTS} clients, then ${times} times their images/s.\n\n` +
        markdownTable(
          COLUMNS,
          Object.entries(rows).map(([figure, value]) => ({ figure, value })),
        ),
    );
  } finally {
    await server.stop();
  }
});
