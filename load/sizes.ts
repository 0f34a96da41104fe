/**
 * `npm run load:sizes`: measures heatmaps of one photograph by the size of the network's input and the output stride:
 * how the time grows with the pixels, and the peak of the server's memory. Sends one request at a time, the sizes
 * interleaved in rounds.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isArchitecture } from '../src/architectures/index.js';
import { interruption, runCommand } from './command.js';
import { whole } from './options.js';
import { readPhotos } from './photos.js';
import { heatmapTimePlot } from './plots/heatmap-time.js';
import { describeMachine, machineLine } from './report.js';
import { SAMPLES, servedName } from './scenario.js';
import type { SizeRow, SizesReport } from './sizes-report.js';
import { forgetPeak, peakOf, startServer, type RunningServer } from './server-process.js';
import { markdownTable, type Column } from './tables.js';
import { RESULTS } from './write-report.js';

const HELP = `npm run load:sizes -- [options]
  --models LIST   models, or architectures to serve untrained (resnet50)
  --sides LIST    sides of the square input in pixels (224,448,896,1568,2240)
  --strides LIST  divisors of the net's own output stride (1,2,4)
  --rounds N      interleaved rounds (3)
  --output NAME   also write load/results/NAME.json, NAME.md and NAME-heatmaps.svg
`;

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      models: { type: 'string', default: 'resnet50' },
      sides: { type: 'string', default: '224,448,896,1568,2240' },
      strides: { type: 'string', default: '1,2,4' },
      rounds: { type: 'string', default: '3' },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const rounds = whole('--rounds', values.rounds);
  const rows = await measureAll(
    values.models.split(','),
    values.sides.split(',').map((side) => whole('--sides', side)),
    values.strides.split(',').map((stride) => whole('--strides', stride)),
    rounds,
  );
  await report({ kind: 'sizes', version: 1, machine: await describeMachine(), rounds, rows }, values.output);
});

async function measureAll(
  models: readonly string[],
  sides: readonly number[],
  fractions: readonly number[],
  rounds: number,
): Promise<SizeRow[]> {
  const signal = interruption();
  const server = await startServer({ FULLCONV_UNTRAINED: models.filter(isArchitecture).join(',') });
  try {
    const [photo] = await readPhotos(SAMPLES);
    const rows = await rowsOf(server, models, sides, fractions);
    // Round 0 opens the sessions, and does not count.
    for (let round = 0; round <= rounds; round++) {
      for (const row of rows.filter(({ refused }) => refused === undefined)) {
        if (signal.aborted) break;
        process.stderr.write(`round ${round}: ${row.model} ${row.side}² at ${row.outputStride}\n`);
        const milliseconds = await measure(server, row, photo!.bytes);
        if (round > 0 && milliseconds !== undefined) row.milliseconds.push(milliseconds);
      }
    }
    return rows.filter(({ milliseconds, refused }) => milliseconds.length > 0 || refused !== undefined);
  } finally {
    await server.stop();
  }
}

async function rowsOf(
  { url }: RunningServer,
  models: readonly string[],
  sides: readonly number[],
  fractions: readonly number[],
): Promise<SizeRow[]> {
  const rows: SizeRow[] = [];
  for (const model of models.map((name) => servedName(name, 'fp32'))) {
    const response = await fetch(`${url}/v1/models/${model}`);
    const { outputStrides } = (await response.json()) as { outputStrides: number[] };
    for (const fraction of fractions) {
      const outputStride = outputStrides[0]! / fraction;
      if (!outputStrides.includes(outputStride)) continue;
      rows.push(...sides.map((side) => ({ model, side, outputStride, milliseconds: [], peakMiB: 0 })));
    }
  }
  return rows;
}

/** Milliseconds of one heatmap; undefined if it was refused. */
async function measure(server: RunningServer, row: SizeRow, photo: Uint8Array): Promise<number | undefined> {
  await forgetPeak(server);
  const { model, side, outputStride } = row;
  const query = `model=${model}&fit=stretch&size=${side}&outputStride=${outputStride}&deadlineMs=600000`;
  const started = performance.now();
  const response = await fetch(`${server.url}/v1/heatmap?${query}`, {
    method: 'POST',
    headers: { accept: 'application/x-npy' },
    body: photo,
  });
  const body = await response.arrayBuffer();
  if (!response.ok) {
    row.refused = (JSON.parse(new TextDecoder().decode(body)) as { code: string }).code;
    return undefined;
  }
  const milliseconds = performance.now() - started;
  row.peakMiB = Math.max(row.peakMiB, (await peakOf(server)) ?? 0);
  return milliseconds;
}

async function report(result: SizesReport, output: string | undefined): Promise<void> {
  const { machine, rounds, rows } = result;
  const markdown =
    `${machineLine(machine)}; one heatmap at a time, the best of ${rounds}.\n\n` + markdownTable(columns(rows), rows);
  process.stdout.write(markdown);
  if (output === undefined) return;
  await mkdir(RESULTS, { recursive: true });
  const picture = `${output}-heatmaps.svg`;
  const svg = heatmapTimePlot(result);
  await writeFile(join(RESULTS, `${output}.json`), JSON.stringify(result, null, 2) + '\n');
  await writeFile(
    join(RESULTS, `${output}.md`),
    svg === undefined ? markdown : `${markdown}\n![heatmaps](${picture})\n`,
  );
  if (svg !== undefined) await writeFile(join(RESULTS, picture), svg);
}

function columns(rows: readonly SizeRow[]): Column<SizeRow>[] {
  const perMegapixel = ({ milliseconds, side }: SizeRow): number => (Math.min(...milliseconds) * 1e6) / side ** 2;
  const smallest = (row: SizeRow): SizeRow =>
    rows.find(({ model, outputStride }) => model === row.model && outputStride === row.outputStride)!;
  const unlessRefused =
    (cell: (row: SizeRow) => string, instead = '') =>
    (row: SizeRow): string =>
      row.refused === undefined ? cell(row) : instead;
  return [
    ['model', ({ model }) => model],
    ['input', ({ side }) => `${side}×${side}`],
    ['output stride', ({ outputStride }) => String(outputStride)],
    ['ms', (row) => row.refused ?? Math.min(...row.milliseconds).toFixed(0)],
    ['ms per megapixel', unlessRefused((row) => perMegapixel(row).toFixed(0))],
    ['over that of the smallest', unlessRefused((row) => (perMegapixel(row) / perMegapixel(smallest(row))).toFixed(2))],
    ['server peak MiB', unlessRefused(({ peakMiB }) => peakMiB.toFixed(0))],
  ];
}
