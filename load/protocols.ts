/**
 * `npm run load:protocols`: what the Open Inference Protocol costs. One server is asked for the same photographs by `/v1` and
 * by `/v2`, and for tensors, which need no decoding, in turns; the engine is measured alone in each round. With
 * `--perf-analyzer` Triton's own client measures the same server, too.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { pino } from 'pino';
import { createService, type Service } from '../src/app.js';
import { readConfig, type Config } from '../src/config.js';
import { OperatorError } from '../src/errors.js';
import type { ImageInput } from '../src/inference/infer.js';
import { closedLoop } from './closed-loop.js';
import { interruption, runCommand } from './command.js';
import type { LoadSample } from './observe.js';
import { positive, whole } from './options.js';
import { askFor, bestBatch, measureEngine, type Question } from './parts.js';
import { readPhotos } from './photos.js';
import { describeMachine, machineLine } from './report.js';
import { architectureOf, SAMPLES, servedName } from './scenario.js';
import { startServer, type RunningServer } from './server-process.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { trafficFrom, trafficOf, type PreparedRequest, type Traffic } from './traffic.js';

const HELP = `npm run load:protocols -- [options]
  --model NAME          a model, or an architecture to serve untrained (the default model)
  --clients N           clients of the closed loop (32)
  --seconds S           seconds of each measurement (4)
  --rounds N            rounds (5)
  --perf-analyzer PATH  Triton's perf_analyzer, which then measures 4 clients beside ours
  --photos DIR          photographs to send (${SAMPLES})
`;

/** Clients of the comparison with perf_analyzer. */
const FEW = 4;

/** What is sent. `encoded` and `tensors` by `/v2`. */
const KINDS = ['v1', 'encoded', 'tensors'] as const;
type Kind = (typeof KINDS)[number];

type TrafficByKind = Readonly<Record<Kind, Traffic>>;

interface Round {
  readonly engine: number;
  readonly many: Readonly<Record<Kind, LoadSample>>;
  /** Images a second of four clients: ours, and perf_analyzer's. Absent without it. */
  readonly few?: { readonly ours: FewRates; readonly theirs: FewRates };
}

type FewRates = Readonly<Record<'encoded' | 'tensors', number>>;

interface Settings {
  readonly clients: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly perfAnalyzer: string | undefined;
}

/** A request of the protocol whose only input has the bytes of `content` behind the header. */
function inferRequest(model: string, datatype: string, shape: readonly number[], content: Buffer): PreparedRequest {
  const input = { name: 'image', datatype, shape, parameters: { binary_data_size: content.length } };
  // The best classes, as many as `/v1` answers.
  const outputs = [{ name: 'scores', parameters: { classification: 5, binary_data: false } }];
  const header = Buffer.from(JSON.stringify({ inputs: [input], outputs }));
  return {
    method: 'POST',
    path: `/v2/models/${encodeURIComponent(model)}/infer`,
    headers: { 'content-type': 'application/octet-stream', 'inference-header-content-length': String(header.length) },
    body: Buffer.concat([header, content]),
  };
}

/** An element of BYTES: its length, then its bytes. */
function element({ bytes }: ImageInput): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function trafficByKind({ plans }: Question, name: string, photos: readonly ImageInput[]): TrafficByKind {
  const { width, height } = plans[0]!.crop;
  const gray = Buffer.alloc(height * width * 3, 117);
  return {
    v1: trafficOf([{ model: name, size: 'photos' }], 'classify', new Map([['photos', photos]])),
    encoded: trafficFrom([photos.map((photo) => inferRequest(name, 'BYTES', [1], element(photo)))]),
    tensors: trafficFrom([[inferRequest(name, 'UINT8', [1, height, width, 3], gray)]]),
  };
}

/** Measures by perf_analyzer, in images a second. */
async function analyze(
  program: string,
  server: RunningServer,
  model: string,
  seconds: number,
  parameters: readonly string[],
): Promise<number> {
  const { stdout } = await promisify(execFile)(program, [
    ...['-m', model, '-u', server.url.replace('http://', ''), '--concurrency-range', String(FEW)],
    // One window of the length that ours has, whatever it varies.
    ...['--measurement-interval', String(1000 * seconds), '--stability-percentage', '999', '--max-trials', '3'],
    ...parameters,
  ]);
  const rate = Number(/throughput: ([\d.]+) infer\/sec/i.exec(stdout)?.[1]);
  if (!(rate > 0)) throw new OperatorError(`${program} measured nothing:\n${stdout}`);
  return rate;
}

/** perf_analyzer's file of inputs. It sends the decoded bytes as they are: an element has its length before it. */
function inputsFile(photos: readonly ImageInput[]): string {
  const data = photos.map((photo) => ({ image: { content: { b64: element(photo).toString('base64') }, shape: [1] } }));
  return JSON.stringify({ data });
}

async function measure(
  { service, server, question, traffic, name }: Bench,
  inputs: string,
  { clients, seconds, rounds: count, perfAnalyzer }: Settings,
  signal: AbortSignal,
): Promise<Round[]> {
  const batch = await bestBatch(service, question, seconds, signal);
  const load = (kind: Kind, clients: number): Promise<LoadSample> =>
    closedLoop(server, traffic[kind], clients, seconds, signal);
  process.stderr.write('warming up\n');
  for (const kind of KINDS) await load(kind, clients);
  const rounds: Round[] = [];
  for (let round = 1; round <= count; round++) {
    process.stderr.write(`round ${round} of ${count}\n`);
    const engine = await measureEngine(service, question, batch, seconds, signal);
    const samples: Partial<Record<Kind, LoadSample>> = {};
    for (const kind of round % 2 === 0 ? KINDS : KINDS.toReversed()) samples[kind] = await load(kind, clients);
    const many = samples as Record<Kind, LoadSample>;
    if (perfAnalyzer === undefined) {
      rounds.push({ engine, many });
      continue;
    }
    const theirs = {
      encoded: await analyze(perfAnalyzer, server, `${name}.encoded`, seconds, [
        ...['--input-data', inputs, '--shape', 'image:1'],
      ]),
      tensors: await analyze(perfAnalyzer, server, name, seconds, []),
    };
    const ours = {
      encoded: (await load('encoded', FEW)).imagesPerSecond,
      tensors: (await load('tensors', FEW)).imagesPerSecond,
    };
    rounds.push({ engine, many, few: { ours, theirs } });
  }
  return rounds;
}

interface Bench {
  readonly service: Service;
  readonly server: RunningServer;
  readonly question: Question;
  readonly traffic: TrafficByKind;
  readonly name: string;
}

interface Row {
  readonly what: string;
  readonly value: string;
}

function rowsOf(rounds: readonly Round[]): Row[] {
  const of = (value: (round: Round) => number): number => median(rounds.map(value));
  const rate = (what: string, value: (round: Round) => number): Row => ({ what, value: figure(of(value)) });
  const ratio = (what: string, value: (round: Round) => number): Row => ({ what, value: of(value).toFixed(2) });
  const images = ({ imagesPerSecond }: LoadSample): number => imagesPerSecond;
  const cost = ({ cores, imagesPerSecond }: LoadSample): number => (1000 * cores) / imagesPerSecond;
  return [
    rate('photographs by /v1, images/s', ({ many }) => images(many.v1)),
    rate('photographs by /v2, images/s', ({ many }) => images(many.encoded)),
    ratio('/v2 / /v1', ({ many }) => images(many.encoded) / images(many.v1)),
    rate('photographs by /v1, processor ms an image', ({ many }) => cost(many.v1)),
    rate('photographs by /v2, processor ms an image', ({ many }) => cost(many.encoded)),
    rate('tensors by /v2, images/s', ({ many }) => images(many.tensors)),
    rate('engine alone, images/s', ({ engine }) => engine),
    ratio('tensors / engine', ({ engine, many }) => images(many.tensors) / engine),
    rate('tensors by /v2, processor ms an image', ({ many }) => cost(many.tensors)),
    ...(rounds.every(({ few }) => few === undefined)
      ? []
      : [
          rate(`photographs, ${FEW} clients of ours, images/s`, ({ few }) => few!.ours.encoded),
          rate(`photographs, ${FEW} clients of perf_analyzer, images/s`, ({ few }) => few!.theirs.encoded),
          ratio('perf_analyzer / ours, photographs', ({ few }) => few!.theirs.encoded / few!.ours.encoded),
          rate(`tensors, ${FEW} clients of ours, images/s`, ({ few }) => few!.ours.tensors),
          rate(`tensors, ${FEW} clients of perf_analyzer, images/s`, ({ few }) => few!.theirs.tensors),
          ratio('perf_analyzer / ours, tensors', ({ few }) => few!.theirs.tensors / few!.ours.tensors),
        ]),
  ];
}

const COLUMNS: readonly Column<Row>[] = [
  ['figure', ({ what }) => what],
  ['', ({ value }) => value],
];

async function compare(model: string, folder: string, settings: Settings): Promise<void> {
  const name = model === '' ? 'imagenet-efficientnet-lite0' : servedName(model, 'fp32');
  const environment = { FULLCONV_UNTRAINED: architectureOf(name) ?? '', FULLCONV_DEFAULT_MODEL: '' };
  const config: Config = readConfig({ ...process.env, ...environment });
  const photos = await readPhotos(folder);
  const signal = interruption();
  const scratch = await mkdtemp(join(tmpdir(), 'fullconv-protocols-'));
  const inputs = join(scratch, 'inputs.json');
  let service: Service | undefined;
  let server: RunningServer | undefined;
  try {
    await writeFile(inputs, inputsFile(photos));
    service = await createService(config, pino({ level: 'warn' }, pino.destination(2)));
    server = await startServer(environment);
    const question = await askFor(config, service, name, 'classify', photos);
    const traffic = trafficByKind(question, name, photos);
    const rounds = await measure({ service, server, question, traffic, name }, inputs, settings, signal);
    process.stdout.write(
      `${machineLine(await describeMachine())}; ${name}, ${settings.clients} clients; ` +
        `medians of ${rounds.length} rounds of ${settings.seconds} s.\n\n${markdownTable(COLUMNS, rowsOf(rounds))}`,
    );
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    await server?.stop();
    await service?.close();
    await rm(scratch, { recursive: true, force: true });
  }
}

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: '' },
      clients: { type: 'string', default: '32' },
      seconds: { type: 'string', default: '4' },
      rounds: { type: 'string', default: '5' },
      'perf-analyzer': { type: 'string' },
      photos: { type: 'string', default: SAMPLES },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  await compare(values.model, values.photos, {
    clients: whole('--clients', values.clients),
    seconds: positive('--seconds')(values.seconds),
    rounds: whole('--rounds', values.rounds),
    perfAnalyzer: values['perf-analyzer'],
  });
});
