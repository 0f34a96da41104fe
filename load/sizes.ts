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
import { measureHeatmaps } from './heatmap-sizes.js';
import { whole } from './options.js';
import { heatmapTimePlot } from './plots/heatmap-time.js';
import { describeMachine, machineLine } from './report.js';
import { readPhotos } from './photos.js';
import { SAMPLES, servedName } from './scenario.js';
import type { SizeRow, SizesReport } from './sizes-report.js';
import { startServer } from './server-process.js';
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
  const models = values.models.split(',');
  const sides = values.sides.split(',').map((side) => whole('--sides', side));
  const fractions = values.strides.split(',').map((stride) => whole('--strides', stride));
  const signal = interruption();
  const [photo] = await readPhotos(SAMPLES);
  const server = await startServer({ FULLCONV_UNTRAINED: models.filter(isArchitecture).join(',') });
  let rows: SizeRow[] = [];
  try {
    const asked = { models: models.map((name) => servedName(name, 'fp32')), sides, fractions, rounds };
    rows = await measureHeatmaps(server, photo!.bytes, asked, {
      isOver: () => signal.aborted,
      begin: (what) => process.stderr.write(`${what}\n`),
    });
  } finally {
    await server.stop();
  }
  await report({ kind: 'sizes', version: 1, machine: await describeMachine(), rounds, rows }, values.output);
});

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
