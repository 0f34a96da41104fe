/**
 * `npm run load:reloads`: whether memory comes back. A model is loaded, asked and unloaded again and again, and after each
 * unload the memory of the server and of the processes that work for it is read. It goes up and down, because V8 collects
 * garbage when it likes: the lowest values of the first and of the last quarter of the cycles show a leak.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { OperatorError } from '../src/errors.js';
import { interruption, runCommand } from './command.js';
import { whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { architectureOf, SAMPLES, servedName } from './scenario.js';
import { anonymousOf, residentOf, startServer, type RunningServer } from './server-process.js';
import { slope } from './statistics.js';
import { markdownTable, type Column } from './tables.js';

const HELP = `npm run load:reloads -- [options]
  --model NAME   a model of FULLCONV_MODELS, or an architecture, which has generated weights (resnet50)
  --cycles N     how often it is loaded, asked and unloaded (100)
  --requests N   requests in each cycle (1000), one in ten for a heatmap
  --photos DIR   photographs to send (${SAMPLES})
`;
const CLIENTS = 8;
/** In this time the server sees that nobody asks, and gives free memory back. */
const REST_MS = 4000;
/** Lines of the table. */
const LINES = 10;

interface Cycle {
  readonly number: number;
  readonly loadMs: number;
  readonly requestsPerSecond: number;
  readonly loadedMiB: number;
  /** After the unload. */
  readonly unloadedMiB: number;
  /** Of these, what no file backs. */
  readonly anonymousMiB: number;
}

const COLUMNS: readonly Column<Cycle>[] = [
  ['cycle', ({ number }) => String(number)],
  ['load ms', ({ loadMs }) => loadMs.toFixed(0)],
  ['requests/s', ({ requestsPerSecond }) => requestsPerSecond.toFixed(1)],
  ['loaded MiB', ({ loadedMiB }) => loadedMiB.toFixed(0)],
  ['unloaded MiB', ({ unloadedMiB }) => unloadedMiB.toFixed(0)],
  ['without files', ({ anonymousMiB }) => anonymousMiB.toFixed(0)],
];

class Client {
  readonly #server: RunningServer;
  readonly #pool: Pool;
  readonly #token: string;

  constructor(server: RunningServer, token: string) {
    this.#server = server;
    this.#pool = new Pool(server.url, { connections: CLIENTS });
    this.#token = token;
  }

  async administer(name: string, what: 'load' | 'unload'): Promise<void> {
    const state = what === 'load' ? 'ready' : 'unloaded';
    const body = JSON.parse(await this.#post(`/v1/models/${name}/${what}`)) as { state: string; reason?: string };
    if (body.state !== state) throw new OperatorError(`${name}: ${body.state}: ${body.reason ?? ''}`);
  }

  /** Ask so many times, each client one after the other. */
  async ask(name: string, photos: readonly Uint8Array[], requests: number): Promise<void> {
    let next = 0;
    const inTurn = async (): Promise<void> => {
      while (next < requests) {
        const index = next++;
        const path = index % 10 === 9 ? '/v1/heatmap' : '/v1/classify';
        await this.#post(`${path}?model=${name}`, photos[index % photos.length]);
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, inTurn));
  }

  residentMiB(): Promise<number> {
    return residentOf(this.#server).then(told);
  }

  anonymousMiB(): Promise<number> {
    return anonymousOf(this.#server).then(told);
  }

  async close(): Promise<void> {
    await this.#pool.destroy();
    await this.#server.stop();
  }

  async #post(path: string, body: Uint8Array | null = null): Promise<string> {
    const headers = { authorization: `Bearer ${this.#token}` };
    const answer = await this.#pool.request({ path, method: 'POST', headers, body });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`${path}: ${answer.statusCode} ${text.slice(0, 500)}`);
    return text;
  }
}

function told(mebibytes: number | undefined): number {
  if (mebibytes === undefined) throw new OperatorError('this system does not tell the memory of processes');
  return mebibytes;
}

async function cycle(client: Client, name: string, photos: readonly Uint8Array[], requests: number) {
  const began = performance.now();
  await client.administer(name, 'load');
  const loaded = performance.now();
  await client.ask(name, photos, requests);
  const asked = performance.now();
  const loadedMiB = await client.residentMiB();
  await client.administer(name, 'unload');
  await sleep(REST_MS);
  const [unloadedMiB, anonymousMiB] = [await client.residentMiB(), await client.anonymousMiB()];
  return {
    ...{ loadMs: loaded - began, requestsPerSecond: (1000 * requests) / (asked - loaded) },
    ...{ loadedMiB, unloadedMiB, anonymousMiB },
  };
}

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'resnet50' },
      cycles: { type: 'string', default: '100' },
      requests: { type: 'string', default: '1000' },
      photos: { type: 'string', default: SAMPLES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const cycles = whole('--cycles', values.cycles);
  const requests = whole('--requests', values.requests);
  const photos = (await readPhotos(values.photos)).map(({ bytes }) => bytes);
  const name = servedName(values.model, 'fp32');
  const architecture = architectureOf(name);
  const token = randomUUID();
  const untrained: Record<string, string> = architecture === undefined ? {} : { FULLCONV_UNTRAINED: architecture };
  const server = await startServer({ FULLCONV_ADMIN_TOKEN: token, FULLCONV_DEFAULT_MODEL: name, ...untrained });
  const client = new Client(server, token);
  const signal = interruption();
  const done: Cycle[] = [];
  try {
    await client.administer(name, 'unload');
    await sleep(REST_MS);
    const beforeMiB = await client.anonymousMiB();
    for (let number = 1; number <= cycles && !signal.aborted; number++) {
      done.push({ number, ...(await cycle(client, name, photos, requests)) });
      process.stderr.write(`${JSON.stringify(done.at(-1))}\n`);
    }
    const last = done.at(-1);
    if (last === undefined) return;
    const step = Math.ceil(done.length / LINES);
    const shown = done.filter(({ number }) => number === 1 || number % step === 0 || number === last.number);
    const perCycle = slope(done.map(({ number, anonymousMiB }) => [number, anonymousMiB]));
    const quarter = Math.ceil(done.length / 4);
    const lowest = (cycles: readonly Cycle[]): string =>
      Math.min(...cycles.map((each) => each.anonymousMiB)).toFixed(0);
    process.stdout.write(
      `${machineLine(await describeMachine())}\n\n` +
        `${name}, ${requests} requests a cycle. Before the first request ${beforeMiB.toFixed(0)} MiB without files.\n\n` +
        `${markdownTable(COLUMNS, shown)}\n` +
        `Without files, unloaded: ${lowest(done.slice(0, quarter))} MiB at the lowest in the first quarter of the cycles, ` +
        `${lowest(done.slice(-quarter))} MiB in the last; ${perCycle.toFixed(2)} MiB a cycle.\n`,
    );
  } finally {
    await client.close();
  }
});
