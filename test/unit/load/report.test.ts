import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readReport } from '../../../load/report.js';
import { reportOf, row, sampleAt } from '../../support/load-reports.js';

const COMMITTED = new URL('../../../load/results/2026-11-25-classify.json', import.meta.url).pathname;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-report-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function written(report: object): Promise<string> {
  const file = join(folder, 'report.json');
  await writeFile(file, JSON.stringify(report));
  return file;
}

it('reads what is written', async () => {
  const report = reportOf(row('a', [sampleAt(40)]));
  expect(await readReport(await written(report))).toEqual(report);
});

it('reads a report of the version before, whose peak counted two operations for each multiply-add', async () => {
  interface OldRow {
    readonly multiplyAddsG: number;
    readonly samples: readonly { readonly peak: number }[];
  }
  const old = JSON.parse(await readFile(COMMITTED, 'utf8')) as { readonly rows: readonly OldRow[] };
  const { rows } = await readReport(COMMITTED);
  expect(rows.map(({ gmacs }) => gmacs)).toEqual(old.rows.map(({ multiplyAddsG }) => multiplyAddsG));
  expect(rows[0]!.samples.map(({ peak }) => 2 * peak)).toEqual(old.rows[0]!.samples.map(({ peak }) => peak));
});

it('refuses other versions and other files', async () => {
  await expect(readReport(await written({ kind: 'load', version: 1 }))).rejects.toThrow(
    'is not a load report of version 2 or 3',
  );
  await expect(readReport(await written({ kind: 'sizes', version: 2 }))).rejects.toThrow('is not a load report');
});
