/**
 * The result of a run of the kit, as JSON for programs. It is complete and readable at every moment of the run: what has not been
 * measured yet is not in it, and every step says whether it has ended and how. markdown.ts is for people.
 */
import type { Machine } from '../report.js';
import type { LoadSample } from '../observe.js';

export const GPU_REPORT_VERSION = 1;

export interface GpuReport {
  readonly kind: 'gpu';
  readonly version: typeof GPU_REPORT_VERSION;
  /** `over`: all steps had their turn. `running` in a file that nobody writes any more: the run was cut off. */
  state: 'running' | 'over' | 'stopped';
  readonly machine: Machine;
  /** The parts that the program came in; empty in a checkout. */
  readonly parts: readonly PartState[];
  readonly settings: Settings;
  /** Of the whole run so far. */
  elapsedSeconds: number;
  readonly steps: StepRecord[];
  readonly notes: string[];
  readonly rows: Row[];
}

export interface PartState {
  readonly name: string;
  readonly holds: string;
  /** `unpacked`, or why it is not. */
  readonly state: string;
}

/** What is measured, on every device alike. */
export interface Settings {
  /** Of the whole run. */
  readonly seconds: number;
  /** Architectures, and models of the folder of models, by worth. */
  readonly models: readonly string[];
  readonly batches: readonly number[];
  readonly clients: readonly number[];
  /** Of square inputs of heatmaps. */
  readonly sides: readonly number[];
  /** Architectures with goldens; empty: all that have one. */
  readonly goldens: readonly string[];
}

export interface StepRecord {
  /** e.g. `engine on onnxruntime/cuda, tf32` */
  readonly name: string;
  /** `killed`: at its limit, or by the end of the run. `died`: by itself, and `why` says how. */
  state: 'running' | 'done' | 'failed' | 'killed' | 'died' | 'skipped';
  /** How long it may take, and how long it took. */
  readonly limitSeconds: number;
  seconds: number;
  /** What it was last at. */
  doing?: string;
  /** What it said of its failure, or why it was skipped. */
  why?: string;
  /** The end of what it and its libraries wrote on standard error; absent where that is nothing. */
  written?: string;
  /** What it left out for want of time, or could not do. */
  readonly notes: string[];
}

/** An engine on a kind of device, as the load test's `--engines` names it: `onnxruntime/cuda`. */
export type DeviceName = string;

/** How products are computed. `tf32`: single precision whose factors are rounded to ten bits. */
export const NUMBERS = ['tf32', 'fp32', 'fp16', 'bf16'] as const;
export type Numbers = (typeof NUMBERS)[number];

/** A row is known by `table` and `key`: a later one with both the same takes its place. */
export type Row =
  | FactRow
  | DeviceRow
  | AnswerRow
  | EngineRow
  | ChangingCountsRow
  | DecodeRow
  | FrontsRow
  | ServerRow
  | HeatmapRow
  | TorchRow;

interface Keyed<Table extends string> {
  readonly table: Table;
  readonly key: string;
}

/** Something about the machine in words: its card, a library that is missing. */
export interface FactRow extends Keyed<'fact'> {
  readonly value: string;
}

export interface DeviceRow extends Keyed<'device'> {
  readonly device: DeviceName;
  /** Milliseconds of the probe net (runtime/probe-net.ts) there, and on one core of the CPU. */
  readonly probe?: { readonly runMs: number; readonly coreMs: number };
  /** Why it does not work. */
  readonly failure?: string;
}

/** Answers held against others that are right. */
export interface AnswerRow extends Keyed<'answer'> {
  readonly device: DeviceName;
  readonly numbers: Numbers;
  /** `golden`: the outputs of the reference network. `photographs`: those of the CPU in single precision. */
  readonly against: 'golden' | 'photographs' | undefined;
  readonly model: string;
  /** Largest difference, as a part of the largest value; NaN where a value is no number. */
  readonly error?: number;
  /** What it may be. */
  readonly bound?: number;
  /** Photographs whose best class is the same, and all of them. */
  readonly sameBest?: readonly [same: number, all: number];
  /** Why there is no figure. */
  readonly failure?: string;
}

/** The engine alone, in one session, pixels of the batch copied to the device and logits back. */
export interface EngineRow extends Keyed<'engine'> {
  readonly device: DeviceName;
  readonly numbers: Numbers;
  readonly model: string;
  readonly batch: number;
  /** Multiply-adds of the batch / 10⁹. */
  readonly gmacs: number;
  /** Median of the runs. */
  readonly ms: number;
  readonly perSecond: number;
  /** Of the first run of this batch, which finds or compiles kernels. */
  readonly firstMs: number;
  readonly runs: number;
  /** In use on the whole device afterwards. */
  readonly deviceMiB?: number;
}

/** Runs of one count, in turn with runs of another in the same session. */
export interface ChangingCountsRow extends Keyed<'changing-counts'> {
  readonly device: DeviceName;
  readonly numbers: Numbers;
  readonly model: string;
  readonly batch: number;
  readonly other: number;
  /** Whether the session was told of the counts when it was opened, as the server does where it warms sessions up. */
  readonly planned: boolean;
  /** Median of the runs whose count is that of the run before. */
  readonly sameMs: number;
  /** Median of those after a run of the other count. */
  readonly changedMs: number;
  /** After a run of the other count. */
  readonly runs: number;
}

/** Decoding alone, on all cores, to the input of these models. */
export interface DecodeRow extends Keyed<'decode'> {
  readonly models: readonly string[];
  /** Processes beside the step's own that decode; 0: its own does. */
  readonly processes: number;
  /** The server would do so on this machine, beside a GPU. */
  readonly isServed: boolean;
  readonly perSecond: number;
  /** Of all processes together. */
  readonly coreMs: number;
  /** Of the JavaScript thread of the step's process, for each photograph: it stands where the engine's process does. */
  readonly threadMs: number;
}

/** The server with processes behind it that answer at once, without decoding and without an engine. */
export interface FrontsRow extends Keyed<'fronts'> {
  readonly clients: number;
  readonly sample: LoadSample;
  /** Processor seconds a second of all client processes, and how many they are. */
  readonly clientCores: number;
  readonly clientProcesses: number;
}

export interface ServerRow extends Keyed<'server'> {
  readonly device: DeviceName;
  readonly numbers: Numbers;
  readonly model: string;
  readonly clients: number;
  readonly sample: LoadSample;
  readonly clientCores: number;
  readonly clientProcesses: number;
  /** From the start of the process until it was ready: sessions, warm-up. */
  readonly startSeconds: number;
  /** What the server says that a run costs, after this load. */
  readonly runCost?: { readonly fixedMs: number; readonly msPerGmac: number };
  readonly deviceMiB?: number;
}

export interface HeatmapRow extends Keyed<'heatmap'> {
  readonly device: DeviceName;
  readonly numbers: Numbers;
  readonly model: string;
  readonly side: number;
  readonly outputStride: number;
  /** The best of those after the first. */
  readonly ms?: number;
  /** Of the first of this size, which may have to prepare for it. */
  readonly firstMs?: number;
  readonly peakMiB: number;
  readonly refused?: string;
}

/** PyTorch on the same card. */
export interface TorchRow extends Keyed<'torch'> {
  readonly model: string;
  /** e.g. `channels_last fp16, CUDA graph` */
  readonly form: string;
  readonly batch: number;
  readonly ms?: number;
  readonly perSecond?: number;
  readonly failure?: string;
}

export function rowsOf<Table extends Row['table']>(
  { rows }: Pick<GpuReport, 'rows'>,
  table: Table,
): Extract<Row, { table: Table }>[] {
  return rows.filter((row) => row.table === table) as Extract<Row, { table: Table }>[];
}

/** Add a row, or put it in the place of the one that it replaces. */
export function putRow({ rows }: Pick<GpuReport, 'rows'>, row: Row): void {
  const place = rows.findIndex(({ table, key }) => table === row.table && key === row.key);
  if (place < 0) rows.push(row);
  else rows[place] = row;
}
