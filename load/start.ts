/**
 * `npm run load:start`: measures the time from the start of the process to its first answer, the memory that it then
 * takes, and how long one client waits beyond decoding and the engine.
 */
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { Pool } from 'undici';
import { readConfig } from '../src/config.js';
import { interruption, runCommand } from './command.js';
import { whole } from './options.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { architectureOf, SAMPLES, servedName } from './scenario.js';
import { residentOf, startServer, type RunningServer } from './server-process.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { trafficOf, type PreparedRequest } from './traffic.js';
import { checkModels, createWorkspace, type Workspace } from './workspace.js';

const HELP = `npm run load:start -- [options]
  --models LIST  models, or architectures to serve untrained, one server each (resnet18,resnet50)
  --requests N   requests of one client, after some that are not counted (100)
  --rounds N     starts of each server (3)
  --photos DIR   photographs to send (${SAMPLES})
`;
const WARM_UP = 10;

interface Start {
  readonly model: string;
  /** From the start of the process. */
  readonly firstAnswerMs: number;
  readonly residentMiB: number;
  /** Medians of one client's requests. */
  readonly totalMs: number;
  readonly decodeMs: number;
  readonly inferMs: number;
  readonly restMs: number;
}

async function measureStart(
  model: string,
  { models, cache }: Workspace,
  requests: readonly PreparedRequest[],
): Promise<Start> {
  const started = performance.now();
  const server = await startServer({
    FULLCONV_MODELS: models,
    FULLCONV_CACHE: cache,
    FULLCONV_UNTRAINED: architectureOf(model) ?? '',
    FULLCONV_DEFAULT_MODEL: '',
  });
  const client = new Pool(server.url, { connections: 1 });
  try {
    await ask(client, requests[0]!);
    const firstAnswerMs = performance.now() - started;
    const residentMiB = await residentAfterRest(server);
    for (const request of requests.slice(0, WARM_UP)) await ask(client, request);
    const answers: Answer[] = [];
    for (const request of requests) answers.push(await ask(client, request));
    const of = (value: (answer: Answer) => number): number => median(answers.map(value));
    return {
      model,
      firstAnswerMs,
      residentMiB,
      totalMs: of(({ totalMs }) => totalMs),
      decodeMs: of(({ decodeMs }) => decodeMs),
      inferMs: of(({ inferMs }) => inferMs),
      restMs: of(({ totalMs, decodeMs, inferMs }) => totalMs - decodeMs - inferMs),
    };
  } finally {
    await client.destroy();
    await server.stop();
  }
}

interface Answer {
  readonly totalMs: number;
  readonly decodeMs: number;
  readonly inferMs: number;
}

async function ask(client: Pool, request: PreparedRequest): Promise<Answer> {
  const sent = performance.now();
  const { statusCode, body } = await client.request(request);
  const answer = (await body.json()) as { timing: { decodeMs: number; inferMs: number } };
  if (statusCode !== 200) throw new Error(`the server answered ${statusCode}`);
  return { totalMs: performance.now() - sent, ...answer.timing };
}

/** Resident MiB after half a second; 0 if the system does not tell it. */
async function residentAfterRest(server: RunningServer): Promise<number> {
  await sleep(500);
  return (await residentOf(server)) ?? 0;
}

function mediansOf(model: string, starts: readonly Start[]): Start {
  const of = (key: Exclude<keyof Start, 'model'>): number => median(starts.map((start) => start[key]));
  return {
    model,
    firstAnswerMs: of('firstAnswerMs'),
    residentMiB: of('residentMiB'),
    totalMs: of('totalMs'),
    decodeMs: of('decodeMs'),
    inferMs: of('inferMs'),
    restMs: of('restMs'),
  };
}

const COLUMNS: readonly Column<Start>[] = [
  ['model', ({ model }) => model],
  ['first answer after ms', ({ firstAnswerMs }) => firstAnswerMs.toFixed(0)],
  ['resident MiB', ({ residentMiB }) => residentMiB.toFixed(0)],
  ['one client ms', ({ totalMs }) => figure(totalMs)],
  ['decode ms', ({ decodeMs }) => figure(decodeMs)],
  ['engine ms', ({ inferMs }) => figure(inferMs)],
  ['beyond both ms', ({ restMs }) => figure(restMs)],
];

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      models: { type: 'string', default: 'resnet18,resnet50' },
      requests: { type: 'string', default: '100' },
      rounds: { type: 'string', default: '3' },
      photos: { type: 'string', default: SAMPLES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const count = whole('--requests', values.requests);
  const rounds = whole('--rounds', values.rounds);
  const config = readConfig(process.env);
  const photos = await readPhotos(values.photos);
  const signal = interruption();
  const rows: Start[] = [];
  for (const name of values.models.split(',')) {
    const model = servedName(name, 'fp32');
    const group =
      architectureOf(model) === undefined
        ? { architectures: [], models: [model] }
        : { architectures: [name], models: [] };
    await checkModels(config, [group]);
    const workspace = await createWorkspace(config, group, photos, (text) => process.stderr.write(`${text}\n`));
    const requests = trafficOf([{ model, size: 'photos' }], 'classify', new Map([['photos', photos]])).random(count, 1);
    const starts: Start[] = [];
    try {
      // Start 0 generates weights and fills the cache, and does not count.
      for (let round = 0; round <= rounds && !signal.aborted; round++) {
        process.stderr.write(`${model}: start ${round} of ${rounds}\n`);
        const start = await measureStart(model, workspace, requests);
        if (round > 0) starts.push(start);
      }
    } finally {
      await workspace.remove();
    }
    if (starts.length > 0) rows.push(mediansOf(model, starts));
  }
  process.stdout.write(`${machineLine(await describeMachine())}\n\n${markdownTable(COLUMNS, rows)}`);
});
