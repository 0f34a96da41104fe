/** The result of a load test, as JSON for programs: every measurement of every round. tables.ts is for people. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { coreCount } from '../src/cores.js';
import { OperatorError } from '../src/errors.js';
import type { LoadSample } from './observe.js';
import type { OpenSample } from './open-loop.js';
import type { MeasuredView, Scenario } from './scenario.js';

/** Changes if a program that reads reports would have to change. */
export const REPORT_VERSION = 3;

export interface Report {
  readonly kind: 'load';
  readonly version: typeof REPORT_VERSION;
  readonly machine: Machine;
  readonly settings: Settings;
  readonly rows: readonly Row[];
  /** Absent in older reports, where the notes say it. */
  readonly leftOut?: readonly LeftOut[];
  /** What else is to be said. */
  readonly notes: readonly string[];
}

/** A subject that could not be measured, or not in every round. */
export interface LeftOut extends Pick<Row, 'models' | 'engine' | 'precision' | 'view' | 'sizes'> {
  readonly reason: string;
}

/** Top-1 accuracy, as somebody else measured it. */
export interface Top1 {
  readonly percent: number;
  /** Whose validation images it was measured on. */
  readonly images: 'ImageNet' | 'Tiny ImageNet';
  /** By the catalog's name, or an embedded model's. */
  readonly weights: string;
}

export interface Machine {
  readonly date: string;
  readonly commit: string;
  readonly processor: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly node: string;
  readonly onnxruntime: string;
  readonly sharp: string;
}

export interface Settings extends Omit<Scenario, 'models' | 'every' | 'output' | 'engines'> {
  /** The settings of the server, and of the engine alone. */
  readonly workers: number;
  readonly threads: number;
  readonly decoders: number;
  readonly maxBatch: number;
  /** By name. */
  readonly devices: readonly string[];
}

/** One load on one subject. */
export interface Row {
  readonly models: readonly string[];
  /** The engine of this row, e.g. `tensorflow/wasm`, if engines were compared. */
  readonly engine?: string;
  /** As the server reports it; with several models, all that they have. */
  readonly precision: string;
  readonly view: MeasuredView;
  readonly sizes: string;
  readonly load:
    { readonly loop: 'closed'; readonly clients: number } | { readonly loop: 'open'; readonly share: number };
  /** Millions; of several models together. */
  readonly parametersM: number;
  /** Where it is known (accuracies.ts). */
  readonly top1?: Top1;
  /** 10⁹ multiply-adds for one of the images that were sent, on average. */
  readonly gmacs: number;
  /** Megapixels of one photograph that was sent, on average. */
  readonly megapixels: number;
  /** Images in a batch at which the engine alone is fastest, for each model. */
  readonly engineBatch: readonly number[];
  /** One for each round. */
  readonly samples: readonly Sample[];
}

export interface Sample {
  /** Images a second. */
  readonly engine: number;
  readonly decode: number;
  readonly ceiling: number;
  /** GMAC/s of matrix products. */
  readonly peak: number;
  /** Images a second of the parts one by one, where the row asks for several at once. */
  readonly single?: number;
  readonly server: LoadSample | OpenSample;
}

/** Read a report of this version or the one before. Throws OperatorError for any other file. */
export async function readReport(file: string): Promise<Report> {
  const report = JSON.parse(await readFile(file, 'utf8')) as { kind?: string; version?: number };
  if (report.kind === 'load' && report.version === REPORT_VERSION) return report as Report;
  if (report.kind === 'load' && report.version === 2) return inGmacs(report as SecondReport);
  throw new OperatorError(`${file} is not a load report of version 2 or ${REPORT_VERSION}`);
}

/** Version 2 counted a multiply-add of `peak` as two floating-point operations. */
interface SecondReport extends Omit<Report, 'version' | 'rows'> {
  readonly rows: readonly (Omit<Row, 'gmacs'> & { readonly multiplyAddsG: number })[];
}

function inGmacs(report: SecondReport): Report {
  return {
    ...report,
    version: REPORT_VERSION,
    rows: report.rows.map(({ multiplyAddsG, samples, ...row }) => ({
      ...row,
      gmacs: multiplyAddsG,
      samples: samples.map((sample) => ({ ...sample, peak: sample.peak / 2 })),
    })),
  };
}

export async function describeMachine(): Promise<Machine> {
  const version = async (name: string): Promise<string> => {
    const manifest = JSON.parse(await readFile(`node_modules/${name}/package.json`, 'utf8')) as { version: string };
    return manifest.version;
  };
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: await commitOf('.'),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: coreCount(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    onnxruntime: await version('onnxruntime-node'),
    sharp: await version('sharp'),
  };
}

/** The commit of a folder, with `-dirty` if it was changed; `unknown` if the folder is no checkout. */
export async function commitOf(folder: string): Promise<string> {
  const git = promisify(execFile)('git', ['-C', folder, 'describe', '--always', '--dirty']);
  const { stdout } = await git.catch(() => ({ stdout: 'unknown' }));
  return stdout.trim();
}

export function machineLine({ date, processor, cores, memoryGiB, node, onnxruntime, sharp, commit }: Machine): string {
  return (
    `${date}, ${processor}, ${cores} cores, ${memoryGiB} GiB, Node ${node}, ` +
    `onnxruntime-node ${onnxruntime}, sharp ${sharp}, commit ${commit}`
  );
}

/** Rows by the name of their subject, in the order of the report. */
export function rowsBySubject(rows: readonly Row[]): Map<string, Row[]> {
  const subjects = new Map<string, Row[]>();
  for (const row of rows) subjects.set(subjectName(row), [...(subjects.get(subjectName(row)) ?? []), row]);
  return subjects;
}

/** The subject of a row in words: `resnet50-untrained heatmap mixed`. */
export function subjectName({ models, engine, precision, view, sizes }: Row): string {
  const precisionPart = precision === 'fp32' || models.every((name) => name.endsWith(precision)) ? [] : [precision];
  return [models.join(' + '), ...precisionPart, view, ...(sizes === 'photos' ? [] : [sizes])]
    .concat(engine === undefined ? [] : [`on ${engine}`])
    .join(' ');
}

export function isOpen(sample: LoadSample): sample is OpenSample {
  return 'offered' in sample;
}
