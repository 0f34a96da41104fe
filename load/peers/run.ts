/**
 * Measures our server and its peers on the same job, each in turn, then all again in reverse order. See README.md here.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isArchitecture } from '../../src/architectures/index.js';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import type { ImageInput } from '../../src/inference/infer.js';
import { loadNetwork } from '../../src/models/compile.js';
import { readModelFolder } from '../../src/models/manifest.js';
import { prepareUntrained } from '../../src/models/networks/untrained.js';
import { rampUp, startClients } from '../closed-loop.js';
import { interruption, runCommand } from '../command.js';
import { positive, whole } from '../options.js';
import { readPhotos } from '../photos.js';
import { describeMachine, machineLine } from '../report.js';
import { processorSeconds, residentOf } from '../server-process.js';
import { latencyOf } from '../statistics.js';
import { trafficFrom } from '../traffic.js';
import { countSame, parseAnswer, type Answer } from './answers.js';
import {
  chooseServers,
  findPython,
  interpreters,
  PORT,
  requestOf,
  serversFor,
  type Job,
  type Server,
} from './servers.js';
import { peersTable, type Compared, type Measurement } from './table.js';

const ORIGIN = `http://127.0.0.1:${PORT}`;

interface Options {
  readonly model: string;
  readonly photos: string;
  readonly servers: string | undefined;
  readonly python: string | undefined;
  readonly clients: number;
  readonly durationS: number;
  readonly output: string | undefined;
}

/** Throws OperatorError for a wrong value, and parseArgs' own error for an option that does not exist. */
function readOptions(): Options {
  const options = {
    model: { type: 'string', default: 'resnet50' },
    photos: { type: 'string', default: 'test/fixtures/photos' },
    servers: { type: 'string' },
    python: { type: 'string' },
    clients: { type: 'string', default: '32' },
    duration: { type: 'string', default: '20' },
    output: { type: 'string' },
  } as const;
  const { clients, duration, model, photos, servers, python, output } = parseArgs({ options }).values;
  return {
    ...{ model, photos, servers, python, output },
    clients: whole('--clients', clients),
    durationS: positive('--duration')(duration),
  };
}

const work = await mkdtemp(join(tmpdir(), 'fullconv-peers-'));
process.once('exit', () => rmSync(work, { recursive: true, force: true }));
// Nothing may outlive this process: neither a server nor the folder.
process.once('SIGTERM', () => process.exit(143));
await runCommand(() => run(readOptions()));

async function run(options: Options): Promise<void> {
  const photos = await readPhotos(options.photos);
  const servers = chooseServers(serversFor(await prepareJob(options.model)), options.servers);
  const signal = interruption();
  const compared = new Map<Server, Compared>(servers.map((server) => [server, { server, turns: [] }]));
  const versions = new Map<string, string>();
  let expected: readonly Answer[] | undefined;

  async function takeTurn(server: Server): Promise<Measurement> {
    const python = server.packages && (await findPython(server.packages, interpreters(options.python)));
    for (const [name, version] of Object.entries(python?.versions ?? {})) versions.set(name, version);
    const { answers, ...measurement } = await measure(server, python?.interpreter, photos, options, signal);
    expected ??= answers;
    return { ...measurement, same: countSame(expected, answers) };
  }

  for (const server of [...servers, ...servers.toReversed()]) {
    const before = compared.get(server)!;
    // What failed fails again.
    if (signal.aborted || before.failure !== undefined) continue;
    process.stderr.write(`${server.name} …\n`);
    const after = await takeTurn(server).then(
      (turn): Compared => ({ ...before, turns: [...before.turns, turn] }),
      (error: unknown): Compared => (signal.aborted ? before : { ...before, failure: (error as Error).message }),
    );
    compared.set(server, after);
  }
  if (signal.aborted) process.exitCode = 130;
  const markdown =
    `${[machineLine(await describeMachine()), ...[...versions].map((each) => each.join(' '))].join(', ')}; ` +
    `${options.model}, ${photos.length} photographs, ${options.clients} clients, ${options.durationS} s each, there and back.\n\n` +
    peersTable([...compared.values()], photos.length);
  process.stdout.write(markdown);
  if (options.output !== undefined) await writeFile(`load/results/${options.output}.md`, markdown);
}

/** An architecture, with generated weights, or a model of `models`; our server has this one only. */
async function prepareJob(model: string): Promise<Job> {
  const cache = join(work, 'cache');
  const models = join(work, 'models');
  await mkdir(models);
  const isUntrained = isArchitecture(model);
  const folder = isUntrained ? await prepareUntrained(cache, model) : resolve('models', model);
  if (!isUntrained) await symlink(folder, join(models, model), 'junction');
  const content = await readModelFolder(folder);
  const { classifier } = await loadNetwork(content, cache);
  const { file } = content.manifest.weights;
  // The classifier alone as one ONNX file, its weights beside it.
  const onnx = join(work, 'onnx');
  await mkdir(onnx);
  await copyFile(join(folder, file), join(onnx, file));
  await writeFile(join(onnx, 'model.onnx'), writeOnnx(classifier));
  return {
    model,
    input: content.manifest.input,
    settings: {
      FULLCONV_MODELS: models,
      FULLCONV_CACHE: cache,
      FULLCONV_UNTRAINED: isUntrained ? model : '',
      FULLCONV_DEFAULT_MODEL: content.manifest.name,
    },
    onnx: join(onnx, 'model.onnx'),
    weights: join(folder, file),
  };
}

type Turn = Omit<Measurement, 'same'> & { readonly answers: readonly Answer[] };

/** Start a server, ask it for every photograph, measure it, and end it. */
async function measure(
  server: Server,
  python: string | undefined,
  photos: readonly ImageInput[],
  { clients, durationS }: Options,
  signal: AbortSignal,
): Promise<Turn> {
  if (await fetch(ORIGIN).catch(() => undefined)) throw new Error(`another program listens on port ${PORT}`);
  const [command, ...parameters] = server.command(python ?? '');
  const path = [...(python === undefined ? [] : [dirname(python)]), process.env['PATH'] ?? ''].join(delimiter);
  const child = spawn(command!, parameters, {
    cwd: server.folder,
    env: { ...process.env, PATH: path, ...server.environment },
    stdio: ['ignore', 'ignore', 'inherit'],
    detached: true,
  });
  const kill = (): void => signalGroup(child, 'SIGKILL');
  process.once('exit', kill);
  try {
    await once(child, 'spawn');
    await untilReady(child, server, signal);
    const answers = await askAll(server, photos, signal);
    const traffic = trafficFrom([photos.map((photo) => requestOf(server, photo))]);
    const crowd = startClients(ORIGIN, traffic, clients);
    try {
      await rampUp(() => crowd.answers.length >= clients, signal);
      const running = { url: ORIGIN, pid: child.pid! };
      const processorBefore = (await processorSeconds(running)) ?? NaN;
      const from = performance.now();
      await sleep(durationS * 1000, undefined, { signal });
      const to = performance.now();
      const processorS = ((await processorSeconds(running)) ?? NaN) - processorBefore;
      const memoryMiB = (await residentOf(running)) ?? NaN;
      const within = crowd.answers.filter(({ at }) => at >= from && at < to);
      const answered = within.filter(({ ok }) => ok);
      const { p50Ms, p99Ms } = latencyOf(answered.map(({ milliseconds }) => milliseconds));
      return {
        imagesPerSecond: (answered.length * 1000) / (to - from),
        ...{ p50Ms, p99Ms, memoryMiB },
        processorMs: (processorS * 1000) / answered.length,
        failures: within.length - answered.length,
        precision: server.precision ?? answers[0]?.precision ?? '',
        answers,
      };
    } finally {
      await crowd.stop();
    }
  } finally {
    await end(child);
    process.off('exit', kill);
  }
}

async function untilReady(child: ChildProcess, { ready }: Server, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; attempt < 600; attempt++) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`);
    const response = await fetch(ORIGIN + ready).catch(() => undefined);
    if (response?.ok) return;
    await sleep(200, undefined, { signal });
  }
  throw new Error('it does not get ready');
}

async function askAll(server: Server, photos: readonly ImageInput[], signal: AbortSignal): Promise<Answer[]> {
  const answers: Answer[] = [];
  for (const photo of photos) {
    const { path, ...request } = requestOf(server, photo);
    const response = await fetch(ORIGIN + path, { ...request, signal });
    const text = await response.text();
    if (!response.ok) throw new Error(`${response.status}: ${text.slice(0, 300)}`);
    answers.push(parseAnswer(text));
  }
  return answers;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) return;
  const exited = child.exitCode === null ? once(child, 'exit') : Promise.resolve();
  signalGroup(child, 'SIGTERM');
  await Promise.race([exited, sleep(10_000)]);
  signalGroup(child, 'SIGKILL');
  await sleep(1000);
}

/** A signal for the whole process group: the Python servers have workers of their own. */
function signalGroup({ pid }: ChildProcess, name: NodeJS.Signals): void {
  try {
    process.kill(-pid!, name);
  } catch {
    // It has ended already.
  }
}
