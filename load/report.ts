/** The result of a load test, as JSON for programs and Markdown for people. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { coreCount } from '../src/cores.js';

export interface Row {
  readonly model: string;
  readonly view: string;
  readonly clients: number;
  readonly parametersM: number;
  readonly multiplyAddsG: number;
  /** Images a second. */
  readonly engine: number;
  readonly engineBatch: number;
  readonly decode: number;
  readonly ceiling: number;
  readonly server: number;
  /** server / ceiling, the median of the rounds' own ratios. */
  readonly ratio: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly meanBatch: number;
  readonly cores: number;
  readonly residentMiB: number;
  readonly failures: number;
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

export interface Report {
  readonly machine: Machine;
  readonly photos: string;
  readonly secondsPerRow: number;
  readonly rounds: number;
  readonly workers: number;
  readonly threads: number;
  readonly rows: readonly Row[];
}

export async function describeMachine(): Promise<Machine> {
  const version = async (name: string): Promise<string> => {
    const manifest = JSON.parse(await readFile(`node_modules/${name}/package.json`, 'utf8')) as { version: string };
    return manifest.version;
  };
  const git = await promisify(execFile)('git', ['describe', '--always', '--dirty']).catch(() => ({
    stdout: 'unknown',
  }));
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: git.stdout.trim(),
    processor: cpus()[0]?.model ?? 'unknown',
    cores: coreCount(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    node: process.version,
    onnxruntime: await version('onnxruntime-node'),
    sharp: await version('sharp'),
  };
}

export function toMarkdown({ machine, photos, secondsPerRow, rounds, workers, threads, rows }: Report): string {
  const columns: [string, (row: Row) => string][] = [
    ['model', (row) => row.model],
    ['view', (row) => row.view],
    ['clients', (row) => String(row.clients)],
    ['parameters M', (row) => row.parametersM.toFixed(2)],
    ['multiply-adds G', (row) => row.multiplyAddsG.toFixed(2)],
    ['engine /s (batch)', (row) => `${row.engine.toFixed(1)} (${row.engineBatch})`],
    ['decode /s', (row) => row.decode.toFixed(0)],
    ['ceiling /s', (row) => row.ceiling.toFixed(1)],
    ['server /s', (row) => row.server.toFixed(1)],
    ['server / ceiling', (row) => row.ratio.toFixed(2)],
    ['p50 ms', (row) => row.p50Ms.toFixed(0)],
    ['p99 ms', (row) => row.p99Ms.toFixed(0)],
    ['mean batch', (row) => row.meanBatch.toFixed(1)],
    ['cores', (row) => row.cores.toFixed(2)],
    ['resident MiB', (row) => row.residentMiB.toFixed(0)],
    ['failures', (row) => String(row.failures)],
  ];
  return (
    `${machineLine(machine)}; ` +
    `${workers} workers × ${threads} thread; photographs: ${photos}; ${secondsPerRow} s a row in ${rounds} interleaved rounds.\n\n` +
    markdownTable(
      columns.map(([name]) => name),
      rows.map((row) => columns.map(([, cell]) => cell(row))),
    )
  );
}

export function machineLine({ date, processor, cores, memoryGiB, node, onnxruntime, sharp, commit }: Machine): string {
  return (
    `${date}, ${processor}, ${cores} cores, ${memoryGiB} GiB, Node ${node}, ` +
    `onnxruntime-node ${onnxruntime}, sharp ${sharp}, commit ${commit}`
  );
}

/** The first two columns hold words, the others figures. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const rule = header.map((_, index) => (index < 2 ? '---' : '---:'));
  return [header, rule, ...rows].map(line).join('');
}
