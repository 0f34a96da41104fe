/** What is measured: the photos that are sent, the request that is made of them, and how the command line says so. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { ImageInput } from '../src/inference/infer.js';

export type MeasuredView = 'classify' | 'heatmap';

export interface Scenario {
  /** Names of models, or of architectures to serve untrained. */
  readonly models: readonly string[];
  readonly views: readonly MeasuredView[];
  /** Clients that each send the next photo as soon as they have the answer (closed loop). */
  readonly concurrency: readonly number[];
  /** Seconds of measurement for each row, spread over the rounds. */
  readonly durationS: number;
  /** Every row is measured this many times, all measurements interleaved; the table shows medians. */
  readonly rounds: number;
  readonly photos: readonly ImageInput[];
  readonly photosFrom: string;
  /** Base name of the files written under load/results; undefined: print only. */
  readonly output: string | undefined;
}

const EMBEDDED = ['tinyimagenet-resnet18-w32', 'tinyimagenet-vgg11bn-w32'];
const SAMPLES = 'test/fixtures/photos';

const HELP = `npm run load -- [options]
  --models LIST       models, or architectures to serve untrained (${EMBEDDED.join(',')},resnet50,vgg16)
  --view LIST         classify, heatmap (classify)
  --concurrency LIST  clients (32)
  --duration S        seconds for each row (12)
  --rounds N          interleaved rounds (3)
  --photos DIR        photographs to send (${SAMPLES})
  --output NAME       also write load/results/NAME.json and NAME.md
`;

export async function readScenario(args: string[]): Promise<Scenario | undefined> {
  const { values } = parseArgs({
    args,
    options: {
      models: { type: 'string', default: [...EMBEDDED, 'resnet50', 'vgg16'].join(',') },
      view: { type: 'string', default: 'classify' },
      concurrency: { type: 'string', default: '32' },
      duration: { type: 'string', default: '12' },
      rounds: { type: 'string', default: '3' },
      photos: { type: 'string', default: SAMPLES },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return undefined;
  }
  return {
    models: values.models.split(','),
    views: values.view.split(',').map(parseView),
    concurrency: values.concurrency.split(',').map(Number),
    durationS: Number(values.duration),
    rounds: Number(values.rounds),
    photos: await readPhotos(values.photos),
    photosFrom: values.photos,
    output: values.output,
  };
}

function parseView(name: string): MeasuredView {
  if (name === 'classify' || name === 'heatmap') return name;
  throw new Error(`--view ${name}: must be classify or heatmap`);
}

export async function readPhotos(folder: string): Promise<ImageInput[]> {
  const names = (await readdir(folder)).filter((name) => /\.(jpe?g|png|webp)$/i.test(name)).sort();
  if (names.length === 0) throw new Error(`${folder} holds no photograph`);
  return Promise.all(names.map(async (name) => ({ name, bytes: await readFile(join(folder, name)) })));
}

/** How a view is asked for: the path with its parameters, and what is accepted. Heatmaps as arrays: no PNG to encode. */
export function requestOf(view: MeasuredView, model: string): { path: string; accept: string } {
  const accept = view === 'classify' ? 'application/json' : 'application/x-npy';
  return { path: `/v1/${view}?model=${model}`, accept };
}
