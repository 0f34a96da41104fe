/**
 * What binds the server: the engine, decoding or the server's own process (the fronts), each measured alone in the same run; and
 * whether the server's own line of what a run costs is the one that the engine's runs give. Pure.
 */
import { ceilingOf, computesOnCores } from '../statistics.js';
import { rowsOf, type DeviceName, type EngineRow, type GpuReport, type Numbers, type ServerRow } from './report.js';
import { partsOf } from './plan.js';

export interface Ceilings {
  readonly device: DeviceName;
  readonly numbers: Numbers;
  readonly model: string;
  /** Images a second; undefined where it was not measured. */
  readonly engine: number | undefined;
  /** Of the batch at which the engine is fastest. */
  readonly batch: number | undefined;
  /** As the server decodes. */
  readonly decode: number | undefined;
  readonly fronts: number | undefined;
  /** The lowest; where the engine computes on the cores that decode, what both leave of them. Undefined where one is missing. */
  readonly ceiling: number | undefined;
  readonly binds: string | undefined;
  readonly server: number | undefined;
  readonly serverClients: number | undefined;
}

export function ceilingsOf(report: Pick<GpuReport, 'rows'>): Ceilings[] {
  const engineRows = rowsOf(report, 'engine');
  const serverRows = rowsOf(report, 'server');
  const decodeRows = rowsOf(report, 'decode');
  const fronts = highest(rowsOf(report, 'fronts'), ({ sample }) => sample.imagesPerSecond)?.sample.imagesPerSecond;
  const subjects = new Map([...engineRows, ...serverRows].map((row) => [keyOf(row), row]));
  return [...subjects.values()].map((subject) => {
    const isSubject = (row: EngineRow | ServerRow): boolean => keyOf(row) === keyOf(subject);
    const { device, numbers, model } = subject;
    const best = highest(engineRows.filter(isSubject), ({ perSecond }) => perSecond);
    const decode = decodeRows.find(({ models, isServed }) => isServed && models.includes(model))?.perSecond;
    const served = highest(serverRows.filter(isSubject), ({ sample }) => sample.imagesPerSecond);
    return {
      ...{ device, numbers, model, engine: best?.perSecond, batch: best?.batch, decode, fronts },
      ...lowest(best?.perSecond, decode, fronts, computesOnCores(partsOf(device).kind)),
      ...{ server: served?.sample.imagesPerSecond, serverClients: served?.clients },
    };
  });
}

function lowest(
  engine: number | undefined,
  decode: number | undefined,
  fronts: number | undefined,
  sharesCores: boolean,
): Pick<Ceilings, 'ceiling' | 'binds'> {
  if (engine === undefined || decode === undefined || fronts === undefined)
    return { ceiling: undefined, binds: undefined };
  const both = ceilingOf(engine, decode, sharesCores);
  if (fronts < both) return { ceiling: fronts, binds: 'fronts' };
  if (sharesCores)
    return {
      ceiling: both,
      binds: engine < decode ? 'engine, on the cores that decode' : 'decoding, on the cores that compute',
    };
  return { ceiling: both, binds: engine < decode ? 'engine' : 'decoding' };
}

const keyOf = ({ device, numbers, model }: EngineRow | ServerRow): string => `${device} ${numbers} ${model}`;

function highest<T>(rows: readonly T[], value: (row: T) => number): T | undefined {
  return rows.reduce<T | undefined>(
    (best, row) => (best === undefined || value(row) > value(best) ? row : best),
    undefined,
  );
}

export interface RunCostLine {
  readonly fixedMs: number;
  readonly msPerGmac: number;
}

export interface RunCostComparison {
  readonly device: DeviceName;
  readonly numbers: Numbers;
  readonly model: string;
  /** By least squares over the engine's batches, up to the largest that the server sends. */
  readonly offline: RunCostLine;
  /** The server's own, after its last load. */
  readonly online: RunCostLine;
  /** What the online line says of a batch over what the offline one says: of 1 image, and of the largest batch. */
  readonly ratios: readonly { readonly batch: number; readonly ratio: number }[];
}

/** Batches of a server are no larger by themselves (runtime/device-policy.ts). */
const LARGEST_SERVED = 32;

export function runCostsOf(report: Pick<GpuReport, 'rows'>): RunCostComparison[] {
  const online = new Map<string, ServerRow>();
  for (const row of rowsOf(report, 'server')) if (row.runCost !== undefined) online.set(keyOf(row), row);
  return [...online.values()].flatMap((row) => {
    const own = rowsOf(report, 'engine').filter((each) => keyOf(each) === keyOf(row) && each.batch <= LARGEST_SERVED);
    const offline = fitLine(own.map(({ gmacs, ms }) => [gmacs, ms]));
    if (offline === undefined) return [];
    const batches = own.toSorted((a, b) => a.batch - b.batch);
    const ratios = [batches[0]!, batches.at(-1)!].map(({ batch, gmacs }) => ({
      batch,
      ratio: at(row.runCost!, gmacs) / at(offline, gmacs),
    }));
    const { device, numbers, model } = row;
    return [{ device, numbers, model, offline, online: row.runCost!, ratios }];
  });
}

function at({ fixedMs, msPerGmac }: RunCostLine, gmacs: number): number {
  return fixedMs + msPerGmac * gmacs;
}

/**
 * The line y = fixed + marginal · x of least squares, both parts weighed by the batch's own time, so that the smallest batch counts
 * as much as the largest. Undefined for fewer than two different x.
 */
export function fitLine(points: readonly (readonly [x: number, y: number])[]): RunCostLine | undefined {
  let [w, x, y, xx, xy] = [0, 0, 0, 0, 0];
  for (const [px, py] of points) {
    const weight = 1 / (py * py);
    w += weight;
    x += weight * px;
    y += weight * py;
    xx += weight * px * px;
    xy += weight * px * py;
  }
  const variance = w * xx - x * x;
  if (points.length < 2 || !(variance > 1e-9 * w * xx)) return undefined;
  const msPerGmac = (w * xy - x * y) / variance;
  return { fixedMs: (y - msPerGmac * x) / w, msPerGmac };
}

/** How many times as fast half precision is as the device's own, by model and batch. */
export function speedOfHalf(
  report: Pick<GpuReport, 'rows'>,
): { readonly model: string; readonly device: string; readonly ratio: number; readonly batch: number }[] {
  const rows = rowsOf(report, 'engine');
  return rows.flatMap((half) => {
    if (half.numbers !== 'fp16') return [];
    const { device, model, batch } = half;
    const own = rows.find(
      (row) => row.numbers !== 'fp16' && row.device === device && row.model === model && row.batch === batch,
    );
    return own === undefined ? [] : [{ device, model, batch, ratio: half.perSecond / own.perSecond }];
  });
}
