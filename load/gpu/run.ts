/**
 * Measures a GPU: one step after the other, each in a process of its own, and after each thing found out writes one JSON and one
 * Markdown, whole. It stops by itself; wherever it is cut off, what it had found is complete and readable.
 */
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ARCHITECTURE_NAMES, isArchitecture } from '../../src/architectures/index.js';
import { coreCount } from '../../src/cores.js';
import { OperatorError } from '../../src/errors.js';
import { runCommand } from '../command.js';
import { positive, whole } from '../options.js';
import { describeMachine } from '../report.js';
import { findLibraries } from './libraries.js';
import { toMarkdown } from './markdown.js';
import { howToCompute } from './numbers.js';
import {
  ALL_DEVICES,
  FIRST,
  limitOf,
  nameOf,
  partsOf,
  planSteps,
  REFERENCE,
  STEP_KINDS,
  type PlannedStep,
} from './plan.js';
import { GPU_REPORT_VERSION, putRow, rowsOf, type GpuReport, type Settings, type StepRecord } from './report.js';
import { runStep } from './step-process.js';
import type { Places } from './step-task.js';
import { unpackParts } from './unpack.js';

/** By worth: the first is compared with PyTorch, and its heatmaps are measured. */
const MODELS = [
  ...['resnet50', 'imagenet-efficientnet-lite0', 'resnet18', 'tinyimagenet-resnet18-w48', 'vgg16', 'densenet121'],
  ...[
    'inception_v3',
    'resnext50_32x4d',
    'resnet101',
    'squeezenet1_1',
    'googlenet',
    'preresnet50',
    'tinyimagenet-vgg11bn-w32',
  ],
];

const HELP = `load/gpu/run [options]
  --seconds N      for everything, at most (480)
  --output DIR     where gpu.json and gpu.md are written, as things are found out (results)
  --models LIST    architectures, and models of the folder of models, by worth
                   (${MODELS.slice(0, 3).join(',')},…)
  --batches LIST   of the engine alone (1,2,4,8,16,32,64)
  --clients LIST   of the server (1,32,256)
  --sides LIST     of the inputs of heatmaps, in pixels (224,448,896,1568,2240)
  --goldens LIST   architectures whose golden outputs are checked (all that have some)
  --devices LIST   engines with devices, as ${ALL_DEVICES.slice(0, 3).join(',')}; only these are tried (all)
  --steps LIST     ${STEP_KINDS.join(', ')}; the first always runs (all)
  --photos DIR     photographs that are sent (photos, where the kit has them, or test/fixtures/photos)
  --parts DIR      unpack the parts of a kit that lie there
`;

/** Kept for the last writes. */
const RESERVE_S = 2;
/** A step with less time than this would find out nothing. */
const SHORTEST_STEP_S = 1;

const started = performance.now();
const root = fileURLToPath(new URL('../..', import.meta.url));

await runCommand(main);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '480' },
      output: { type: 'string', default: 'results' },
      models: { type: 'string', default: MODELS.join(',') },
      batches: { type: 'string', default: '1,2,4,8,16,32,64' },
      clients: { type: 'string', default: '1,32,256' },
      sides: { type: 'string', default: '224,448,896,1568,2240' },
      goldens: { type: 'string', default: '' },
      devices: { type: 'string', default: '' },
      steps: { type: 'string', default: '' },
      photos: { type: 'string' },
      parts: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const words = (list: string): string[] => [...new Set(list.split(',').filter((word) => word !== ''))];
  const numbers = (option: string, list: string): number[] => words(list).map((word) => whole(option, word));
  const known = (option: string, list: string, all: readonly string[]): string[] => {
    const strange = words(list).find((word) => !all.includes(word));
    if (strange !== undefined) throw new OperatorError(`${option} ${strange}: must be one of ${all.join(', ')}`);
    return words(list);
  };
  const seconds = positive('--seconds')(values.seconds);
  const devices = known('--devices', values.devices, ALL_DEVICES);
  const kinds = known('--steps', values.steps, STEP_KINDS);
  const output = resolve(values.output);
  const photos = values.photos === undefined ? undefined : resolve(values.photos);
  const parts = values.parts === undefined ? undefined : resolve(values.parts);
  // All paths of the load tests begin in a checkout; the kit is one, as far as it goes.
  process.chdir(root);
  const unpacked = parts === undefined ? undefined : await unpackParts(parts, root);
  const places: Places = {
    models: resolve('models'),
    photos: photos ?? resolve(existsSync('photos') ? 'photos' : 'test/fixtures/photos'),
    goldens: resolve('test/fixtures/golden'),
    cache: resolve('.cache/load-gpu'),
    scripts: resolve('load/gpu'),
  };
  const { models, left } = await presentModels(words(values.models), places.models);
  const settings: Settings = {
    ...{ seconds, models },
    batches: numbers('--batches', values.batches),
    clients: numbers('--clients', values.clients),
    sides: numbers('--sides', values.sides),
    goldens: known('--goldens', values.goldens, ARCHITECTURE_NAMES),
  };
  for (const [option, list] of Object.entries({ models, batches: settings.batches, clients: settings.clients })) {
    if (list.length === 0) throw new OperatorError(`--${option}: there is none of these`);
  }
  const machine = await describeMachine();
  const report: GpuReport = {
    ...{ kind: 'gpu', version: GPU_REPORT_VERSION, state: 'running' },
    machine: unpacked === undefined ? machine : { ...machine, commit: unpacked.list.commit },
    parts: unpacked?.states ?? [],
    ...{ settings, elapsedSeconds: 0, steps: [], notes: left.map((name) => `there is no model ${name}`), rows: [] },
  };
  await measureAll(report, { places, devices, kinds, output });
  process.stdout.write(toMarkdown(report));
}

interface Plan {
  readonly places: Places;
  /** Those to try; empty: all. */
  readonly devices: readonly string[];
  /** Steps to run; empty: all. */
  readonly kinds: readonly string[];
  readonly output: string;
}

async function measureAll(report: GpuReport, { places, devices, kinds, output }: Plan): Promise<void> {
  const { settings } = report;
  const elapsed = (): number => (performance.now() - started) / 1000;
  const write = (): void => {
    report.elapsedSeconds = elapsed();
    mkdirSync(output, { recursive: true });
    placeWhole(join(output, 'gpu.json'), JSON.stringify(report, null, 1) + '\n');
    placeWhole(join(output, 'gpu.md'), toMarkdown(report));
  };
  const stopping = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => stopping.abort());
  write();
  const libraries = await findLibraries(resolve('libraries'));
  const threads = { UV_THREADPOOL_SIZE: String(Math.max(4, 2 * coreCount() + 2)) };
  const isWanted = ({ kind }: PlannedStep): boolean => kinds.length === 0 || kinds.includes(kind);
  // Until it is known what works, as many steps as there may be.
  let steps: readonly PlannedStep[] = [FIRST, ...planSteps([]).filter(isWanted)];
  while (steps.length > 0) {
    const [step, ...others] = steps as [PlannedStep, ...PlannedStep[]];
    steps = others;
    const { limit, seconds } = limitOf([step, ...others], settings.seconds - RESERVE_S - elapsed());
    const record: StepRecord = { name: nameOf(step), state: 'running', limitSeconds: limit, seconds: 0, notes: [] };
    report.steps.push(record);
    if (stopping.signal.aborted || limit < SHORTEST_STEP_S) {
      Object.assign(record, {
        state: 'skipped',
        why: stopping.signal.aborted ? 'the run was stopped' : 'no time was left',
      });
      continue;
    }
    write();
    process.stderr.write(`${elapsed().toFixed(0)} s: ${record.name}, at most ${limit.toFixed(0)} s\n`);
    const end = await runStep(
      { ...step, seconds, settings, devices, places },
      {
        limitSeconds: limit,
        environment: { ...libraries.environment, ...threads, ...environmentOf(step) },
        signal: stopping.signal,
        onMessage(message) {
          if ('row' in message) putRow(report, message.row);
          else if ('note' in message) record.notes.push(message.note);
          else if ('doing' in message) record.doing = message.doing;
          write();
        },
      },
    );
    Object.assign(record, end);
    if (step === FIRST) steps = planSteps(workingDevices(report)).filter(isWanted);
    write();
  }
  report.state = stopping.signal.aborted ? 'stopped' : 'over';
  write();
}

/** Those that work beside the reference. */
function workingDevices(report: GpuReport): string[] {
  const works = rowsOf(report, 'device').filter(({ failure }) => failure === undefined);
  return works.map(({ device }) => device).filter((device) => device !== REFERENCE);
}

function environmentOf({ device, numbers }: PlannedStep): Readonly<Record<string, string>> {
  if (device === undefined || numbers === undefined) return {};
  const { engine, kind } = partsOf(device);
  const how = howToCompute(engine, kind, numbers);
  return 'cannot' in how ? {} : how.environment;
}

/** Models of the folder may be in a part that is not there. */
async function presentModels(
  wanted: readonly string[],
  folder: string,
): Promise<{ readonly models: string[]; readonly left: string[] }> {
  const present = new Set(await readdir(folder).catch(() => []));
  const isThere = (name: string): boolean => isArchitecture(name) || present.has(name);
  return { models: wanted.filter(isThere), left: wanted.filter((name) => !isThere(name)) };
}

/** At once: whoever cuts this process off finds the file as it was before, or as it is now. */
function placeWhole(file: string, text: string): void {
  writeFileSync(`${file}.tmp`, text);
  renameSync(`${file}.tmp`, file);
}
