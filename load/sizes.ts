/**
 * Heatmaps of one photograph by the size of the network's input and the output stride: how the time grows with the
 * pixels, and what memory the server takes at most meanwhile. One request at a time, sizes interleaved in rounds.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { isArchitecture } from '../src/architectures/index.js';
import { describeMachine, machineLine, markdownTable } from './report.js';
import { readPhotos } from './scenario.js';
import { startServer, type RunningServer } from './server-under-load.js';

const HELP = `npm run load:sizes -- [options]
  --models LIST   models, or architectures to serve untrained (resnet50)
  --sides LIST    sides of the square input in pixels (224,448,896,1568,2240)
  --strides LIST  fractions of the net's own output stride (1,2,4)
  --rounds N      interleaved rounds (3)
  --output NAME   also write load/results/NAME.md
`;

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
if (values.help) process.stdout.write(HELP);
else await run(values.models.split(','), values.sides.split(',').map(Number), values.strides.split(',').map(Number));

interface Case {
  readonly model: string;
  readonly side: number;
  readonly outputStride: number;
  readonly milliseconds: number[];
  peakMiB: number;
  refused?: string;
}

async function run(models: readonly string[], sides: readonly number[], fractions: readonly number[]): Promise<void> {
  const untrained = models.filter(isArchitecture);
  const server = await startServer(untrained);
  const [photo] = await readPhotos('test/fixtures/photos');
  const cases: Case[] = [];
  for (const name of models.map((model) => (isArchitecture(model) ? `${model}-untrained` : model))) {
    const { outputStrides } = (await (await fetch(`${server.url}/v1/models/${name}`)).json()) as {
      outputStrides: number[];
    };
    for (const fraction of fractions) {
      const outputStride = outputStrides[0]! / fraction;
      if (!outputStrides.includes(outputStride)) continue;
      cases.push(...sides.map((side) => ({ model: name, side, outputStride, milliseconds: [], peakMiB: 0 })));
    }
  }
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const each of cases.filter(({ refused }) => refused === undefined)) {
      process.stderr.write(`round ${round}: ${each.model} ${each.side}² at ${each.outputStride}\n`);
      await measure(server, each, photo!.bytes);
      // The first round opens sessions.
      if (round === 0) each.milliseconds.pop();
    }
  }
  await server.stop();
  await report(cases);
}

async function measure(server: RunningServer, each: Case, photo: Uint8Array): Promise<void> {
  await forgetPeak(server.pid);
  const { model, side, outputStride } = each;
  const query = `model=${model}&fit=stretch&size=${side}&outputStride=${outputStride}&deadlineMs=600000`;
  const started = performance.now();
  const response = await fetch(`${server.url}/v1/heatmap?${query}`, {
    method: 'POST',
    headers: { accept: 'application/x-npy' },
    body: photo,
  });
  const body = await response.arrayBuffer();
  if (!response.ok) {
    each.refused = (JSON.parse(new TextDecoder().decode(body)) as { code: string }).code;
    return;
  }
  each.milliseconds.push(performance.now() - started);
  each.peakMiB = Math.max(each.peakMiB, await peakOf(server.pid));
}

/** Linux only; elsewhere the peak is that of the process so far, and 0 where that cannot be told either. */
async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => undefined);
}

async function peakOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

async function report(cases: readonly Case[]): Promise<void> {
  const perMegapixel = ({ milliseconds, side }: Case): number => (Math.min(...milliseconds) * 1e6) / side ** 2;
  const rows = cases.map((each) => {
    const { model, outputStride, side, milliseconds, peakMiB, refused } = each;
    const label = [model, `${side}×${side}`, String(outputStride)];
    if (refused !== undefined) return [...label, refused, '', '', ''];
    const smallest = cases.find((other) => other.model === model && other.outputStride === outputStride)!;
    return [
      ...label,
      Math.min(...milliseconds).toFixed(0),
      perMegapixel(each).toFixed(0),
      (perMegapixel(each) / perMegapixel(smallest)).toFixed(2),
      peakMiB.toFixed(0),
    ];
  });
  const markdown =
    `${machineLine(await describeMachine())}; one heatmap at a time, the best of ${values.rounds}.\n\n` +
    markdownTable(
      ['model', 'input', 'output stride', 'ms', 'ms per megapixel', 'over that of the smallest', 'server peak MiB'],
      rows,
    );
  process.stdout.write(markdown);
  if (values.output !== undefined) await writeFile(`load/results/${values.output}.md`, markdown);
}
