/**
 * Measures our server and its peers on the same job, each in turn, then all again in reverse order. See README.md here.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import autocannon from 'autocannon';
import { coreCount } from '../../src/cores.js';
import { isArchitecture } from '../../src/architectures/index.js';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import type { ImageInput } from '../../src/inference/infer.js';
import { loadNetwork } from '../../src/models/compile.js';
import { readModelFolder, type InputPreset } from '../../src/models/manifest.js';
import { prepareUntrained } from '../../src/models/networks/untrained.js';
import { runCommand } from '../command.js';
import { readPhotos } from '../photos.js';
import { describeMachine, machineLine } from '../report.js';
import { mean } from '../statistics.js';
import { markdownTable, type Column } from '../tables.js';

const PORT = 8790;
const RAMP_S = 3;
const HERE = resolve('load/peers');
const PYTHON = join(HERE, 'venv/bin');

interface Server {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly folder?: string;
  /** Path of the job, and a path that answers when the server is ready. */
  readonly path: string;
  readonly ready: string;
  readonly form: RequestForm;
}

/** How a photograph is sent: the bytes themselves, or a form. */
type RequestForm = 'raw' | 'multipart';

interface Measurement {
  readonly imagesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly memoryMiB: number;
  readonly failures: number;
}

/** Set first of all. */
let values: ReturnType<typeof readOptions>;

const work = await mkdtemp(join(tmpdir(), 'fullconv-peers-'));
try {
  await runCommand(async () => {
    values = readOptions();
    await run();
  });
} finally {
  await rm(work, { recursive: true, force: true });
}

/** Throws parseArgs' own error for an option that does not exist. */
function readOptions() {
  const options = {
    model: { type: 'string', default: 'resnet50' },
    photos: { type: 'string', default: 'test/fixtures/photos' },
    servers: { type: 'string' },
    clients: { type: 'string', default: '32' },
    duration: { type: 'string', default: '20' },
    output: { type: 'string' },
  } as const;
  return parseArgs({ options }).values;
}

async function run(): Promise<void> {
  const cache = join(work, 'cache');
  const model = await findModel(cache);
  await exportModel(model.folder, join(work, 'model'), cache);
  const photos = await readPhotos(values.photos);
  const wanted = values.servers?.split(',');
  const servers = serversFor(model, cache).filter(({ name }) => wanted === undefined || wanted.includes(name));
  const results = new Map<string, Measurement[]>();
  const expected: { best?: number | undefined } = {};
  for (const server of [...servers, ...servers.toReversed()]) {
    process.stderr.write(`${server.name} …\n`);
    const measured = await measure(server, photos, expected).catch((error: unknown) => {
      process.stderr.write(`${server.name}: ${String(error)}\n`);
      return undefined;
    });
    if (measured !== undefined) results.set(server.name, [...(results.get(server.name) ?? []), measured]);
  }
  await report(results, photos);
}

interface ServedModel {
  readonly folder: string;
  readonly input: InputPreset;
  /** The settings by which our server serves it. */
  readonly settings: Readonly<Record<string, string>>;
}

/** An architecture, with generated weights, or a model of `models`. */
async function findModel(cache: string): Promise<ServedModel> {
  const { model: name } = values;
  const isUntrained = isArchitecture(name);
  const folder = isUntrained ? await prepareUntrained(cache, name) : resolve('models', name);
  const settings = isUntrained
    ? { FULLCONV_UNTRAINED: name, FULLCONV_DEFAULT_MODEL: `${name}-untrained`, FULLCONV_MODELS: work }
    : { FULLCONV_DEFAULT_MODEL: name };
  return { folder, input: (await readModelFolder(folder)).manifest.input, settings };
}

/** The classifier alone as one ONNX file, its weights beside it, and the safetensors for PyTorch. */
async function exportModel(folder: string, target: string, cache: string): Promise<void> {
  const content = await readModelFolder(folder);
  const { classifier } = await loadNetwork(content, cache);
  await mkdir(target);
  await copyFile(join(folder, content.manifest.weights.file), join(target, content.manifest.weights.file));
  await writeFile(join(target, 'model.onnx'), writeOnnx(classifier));
}

function serversFor({ folder, input, settings }: ServedModel, cache: string): Server[] {
  const python = { folder: join(HERE, 'python'), form: 'multipart', path: '/classify' } as const;
  const environment = {
    MODEL: join(work, 'model/model.onnx'),
    WEIGHTS: join(folder, 'model.safetensors'),
    INPUT: JSON.stringify(input),
    PORT: String(PORT),
    CORES: String(coreCount()),
    OMP_NUM_THREADS: '1',
  };
  return [
    {
      name: 'fullconv',
      command: [process.execPath, resolve('dist/cli/fullconv.cjs'), 'serve'],
      environment: {
        PORT: String(PORT),
        ...settings,
        FULLCONV_CACHE: cache,
        FULLCONV_LOG_LEVEL: 'error',
      },
      path: '/v1/classify?scores=logit',
      ready: '/readyz',
      form: 'raw',
    },
    {
      name: 'express',
      command: [process.execPath, 'server.mjs'],
      folder: join(HERE, 'express'),
      environment: { MODEL: environment.MODEL, INPUT: environment.INPUT, PORT: environment.PORT },
      path: '/classify',
      ready: '/ready',
      form: 'raw',
    },
    // The server with PyTorch has torchvision's ResNet-50 only.
    ...(values.model === 'resnet50' ? ['onnxruntime', 'torch'] : ['onnxruntime']).map((engine) => ({
      ...python,
      name: `litserve-${engine}`,
      command: [join(PYTHON, 'python'), 'litserve_server.py'],
      environment: { ...environment, ENGINE: engine },
      ready: '/health',
    })),
    {
      ...python,
      name: 'bentoml-onnxruntime',
      command: [join(PYTHON, 'bentoml'), 'serve', 'bentoml_service:Classifier', '--port', String(PORT)],
      environment: { ...environment, BENTOML_DO_NOT_TRACK: 'true', PATH: `${PYTHON}:${process.env['PATH'] ?? ''}` },
      ready: '/readyz',
    },
    {
      ...python,
      name: 'torchserve-onnxruntime',
      command: [join(PYTHON, 'python'), 'torchserve_server.py'],
      environment,
      path: '/predictions/classifier',
      ready: '/ping',
    },
  ];
}

async function measure(
  server: Server,
  photos: readonly ImageInput[],
  expected: { best?: number | undefined },
): Promise<Measurement> {
  const child = spawn(server.command[0]!, server.command.slice(1), {
    cwd: server.folder,
    env: { ...process.env, ...server.environment },
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true,
  });
  try {
    await untilReady(child, server);
    await checkAnswer(server, photos[0]!, expected);
    const requests = photos.map((photo) => requestOf(server, photo));
    const common = { url: `http://127.0.0.1:${PORT}`, connections: Number(values.clients), requests, timeout: 120 };
    await autocannon({ ...common, duration: RAMP_S });
    const running = autocannon({ ...common, duration: Number(values.duration) });
    await sleep((Number(values.duration) * 1000) / 2);
    const memoryMiB = await memoryOf(child.pid!);
    const result = await running;
    return {
      imagesPerSecond: result['2xx'] / result.duration,
      p50Ms: result.latency.p50,
      p99Ms: result.latency.p99,
      memoryMiB,
      failures: result.non2xx + result.errors,
    };
  } finally {
    await end(child);
  }
}

async function untilReady(child: ChildProcess, { ready, name }: Server): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`);
    const response = await fetch(`http://127.0.0.1:${PORT}${ready}`).catch(() => undefined);
    if (response?.ok) return;
    await sleep(200);
  }
  throw new Error(`${name} is not ready`);
}

interface Prediction {
  readonly index: number;
  readonly logit: number;
}

/** Our server's answer, or a peer's. */
interface Answer {
  readonly top?: Prediction[];
  readonly results?: { predictions: Prediction[] }[];
}

/**
 * Our server comes first and sets the best class. Throws if a peer's best logit is more than 2 % off that of this
 * class.
 */
async function checkAnswer(server: Server, photo: ImageInput, expected: { best?: number | undefined }): Promise<void> {
  const { method, path, headers, body } = requestOf(server, photo);
  const response = await fetch(`http://127.0.0.1:${PORT}${path}`, { method, headers, body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.status}: ${text.slice(0, 300)}`);
  const [answer] = [JSON.parse(text) as Answer | Answer[]].flat();
  const top = answer?.top ?? answer?.results?.[0]?.predictions ?? [];
  expected.best ??= top[0]?.index;
  const found = top.find(({ index }) => index === expected.best);
  if (found === undefined || Math.abs(found.logit - top[0]!.logit) > 0.02 * Math.abs(top[0]!.logit)) {
    throw new Error(`another best class: ${text.slice(0, 300)}`);
  }
}

function requestOf({ path, form }: Server, { name, bytes }: ImageInput) {
  const { headers, body } = { raw, multipart }[form](name, bytes);
  return { method: 'POST' as const, path, headers, body };
}

interface Message {
  readonly headers: Record<string, string>;
  readonly body: Buffer;
}

function raw(_name: string, bytes: Uint8Array): Message {
  const headers = { 'content-type': 'application/octet-stream', accept: 'application/json' };
  return { headers, body: Buffer.from(bytes) };
}

function multipart(name: string, bytes: Uint8Array): Message {
  const boundary = 'a-boundary-that-no-photograph-has';
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${basename(name)}"\r\ncontent-type: image/jpeg\r\n\r\n`;
  return {
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)]),
  };
}

/** Memory in MiB of a process and its descendants; pages that they share count once. Linux only. */
async function memoryOf(root: number): Promise<number> {
  const children = new Map<number, number[]>();
  for (const name of (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry))) {
    const stat = await readFile(`/proc/${name}/stat`, 'utf8').catch(() => '');
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const family = [root];
  for (const pid of family) family.push(...(children.get(pid) ?? []));
  const sizes = await Promise.all(
    family.map(async (pid) => {
      const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8').catch(() => '');
      return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
    }),
  );
  return sizes.reduce((sum, kib) => sum + kib, 0) / 1024;
}

/** Ends the whole process group: the Python servers have workers of their own. */
async function end(child: ChildProcess): Promise<void> {
  const signal = (name: NodeJS.Signals): void => {
    try {
      process.kill(-child.pid!, name);
    } catch {
      // It has ended already.
    }
  };
  const exited = child.exitCode === null ? once(child, 'exit') : Promise.resolve();
  signal('SIGTERM');
  await Promise.race([exited, sleep(10_000)]);
  signal('SIGKILL');
  await sleep(1000);
}

type Result = readonly [name: string, measurements: readonly Measurement[]];

async function report(results: ReadonlyMap<string, readonly Measurement[]>, photos: readonly unknown[]): Promise<void> {
  const meanOf = ([, list]: Result, key: keyof Measurement): number => mean(list.map((each) => each[key]));
  const ours = meanOf(['fullconv', results.get('fullconv') ?? []], 'imagesPerSecond');
  const columns: Column<Result>[] = [
    ['server', ([name]) => name],
    ['images/s', ([, list]) => list.map(({ imagesPerSecond }) => imagesPerSecond.toFixed(1)).join(', ')],
    ['fullconv is faster by', (result) => (ours / meanOf(result, 'imagesPerSecond')).toFixed(2)],
    ['p50 ms', (result) => meanOf(result, 'p50Ms').toFixed(0)],
    ['p99 ms', (result) => meanOf(result, 'p99Ms').toFixed(0)],
    ['memory MiB', (result) => meanOf(result, 'memoryMiB').toFixed(0)],
    ['failures', ([, list]) => String(list.reduce((sum, { failures }) => sum + failures, 0))],
  ];
  const markdown =
    `${machineLine(await describeMachine())}; ${values.model}, ${photos.length} photographs, ${values.clients} clients, ` +
    `${values.duration} s each, there and back.\n\n` +
    markdownTable(columns, [...results]);
  process.stdout.write(markdown);
  if (values.output !== undefined) await writeFile(`load/results/${values.output}.md`, markdown);
}
