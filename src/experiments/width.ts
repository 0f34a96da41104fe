/**
 * Wide residual nets: what depth and width cost. Parameters and multiply-adds from the graphs, and the time of this machine for
 * a batch, as ratios to ResNet-50, beside those that were published for one GPU.
 *
 * Source: Zagoruyko 2016, tables 7 and 8.
 */
import { buildArchitecture, isArchitecture, type ArchitectureName } from '../architectures/index.js';
import { UsageError } from '../errors.js';
import { countParameters } from '../graph/cost.js';
import { nativeCost } from './cost.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Findings, Section } from './report.js';
import type { Subject } from './subject.js';

export interface TimedNet {
  readonly architecture: string;
  readonly parameters: number;
  /** Of one image of the native size. */
  readonly multiplyAdds: number;
  /** Of the batch in the engine: the fastest run, for what else the machine does only adds to it. */
  readonly milliseconds: number;
  /** To the first net. */
  readonly ratios: { readonly parameters: number; readonly multiplyAdds: number; readonly time: number };
  /** Milliseconds as published, of a batch of 16. */
  readonly publishedMs?: number;
}

export interface WideNet {
  readonly architecture: string;
  /** As a multiple of ResNet's. */
  readonly width: number;
  readonly parameters: number;
  /** Millions, as published. */
  readonly published: number;
}

export interface WidthData {
  readonly batch: number;
  readonly runs: number;
  /** Of the engine: the setting FULLCONV_THREADS. */
  readonly threads: number;
  readonly nets: readonly TimedNet[];
  readonly widths: readonly WideNet[];
}

/** Of a batch of 16 on a Titan X. */
const PUBLISHED_MS = new Map([
  ['resnet50', 49],
  ['resnet101', 82],
  ['resnet152', 115],
  ['wide_resnet50_2', 93],
  ['preresnet200', 154],
]);

/** Millions of parameters. The lecture's slide has these under 1.0, 2.0, 3.0 and 4.0: they are of widths 1, 1.5, 2 and 3. */
const PUBLISHED_WIDTHS: readonly (readonly [architecture: ArchitectureName, width: number, published: number])[] = [
  ['resnet18', 1, 11.7],
  ['wide_resnet18_1.5', 1.5, 25.9],
  ['wide_resnet18_2', 2, 45.6],
  ['wide_resnet18_3', 3, 101.8],
  ['resnet34', 1, 21.8],
  ['wide_resnet34_1.5', 1.5, 48.6],
  ['wide_resnet34_2', 2, 86.0],
];

const BATCH = 16;
const RUNS = 3;

export async function width(
  lab: Lab,
  { model: names = [...PUBLISHED_MS.keys()], batch = BATCH, runs = RUNS }: ExperimentOptions,
): Promise<Findings & { readonly data: WidthData }> {
  const architectures = names.map((name) => {
    if (!isArchitecture(name)) throw new UsageError(`"${name}" is no architecture; fullconv architectures lists them`);
    return name;
  });
  const measured: Omit<TimedNet, 'ratios'>[] = [];
  const bar = lab.progress('runs', architectures.length * (runs + 1));
  try {
    for (const architecture of architectures) {
      const net = await lab.build(architecture, (subject) => timed(subject, { batch, runs, step: () => bar.step() }));
      const publishedMs = PUBLISHED_MS.get(architecture);
      measured.push({ architecture, ...net, ...(publishedMs !== undefined && { publishedMs }) });
    }
  } finally {
    bar.stop();
  }
  const [first] = measured;
  const nets = measured.map((net) => ({
    ...net,
    ratios: {
      parameters: net.parameters / first!.parameters,
      multiplyAdds: net.multiplyAdds / first!.multiplyAdds,
      time: net.milliseconds / first!.milliseconds,
    },
  }));
  const { threads } = lab.config;
  const data = { batch, runs, threads, nets, widths: wideNets() };
  return { title: 'what depth and width cost', data, sections: sectionsOf(data) };
}

/** Parameters of the wide nets, as built. */
export function wideNets(): WideNet[] {
  return PUBLISHED_WIDTHS.map(([architecture, factor, published]) => {
    const parameters = countParameters(buildArchitecture(architecture));
    return { architecture, width: factor, parameters, published };
  });
}

/** Time whole batches in the engine, one at a time; the first, which prepares the session, does not count. */
async function timed(
  { model, network, open }: Subject,
  { batch, runs, step }: { readonly batch: number; readonly runs: number; readonly step: () => void },
): Promise<Pick<TimedNet, 'parameters' | 'multiplyAdds' | 'milliseconds'>> {
  const { parameters } = model;
  const { width: w, height: h } = model.nativeSize;
  const probe = await open(network.classifier);
  const times: number[] = [];
  for (let run = 0; run <= runs; run += 1) {
    const image = { type: 'uint8', dims: [batch, h, w, 3], data: new Uint8Array(batch * h * w * 3).fill(128) } as const;
    times.push(await probe.batch(image));
    step();
  }
  await probe.close();
  return { parameters, multiplyAdds: nativeCost(network), milliseconds: Math.min(...times.slice(1)) };
}

function sectionsOf({ batch, runs, threads, nets, widths }: WidthData): Section[] {
  const published = nets[0]?.publishedMs;
  const ratio = (value: number): string => value.toFixed(2);
  return [
    {
      table: `A batch of ${batch}, the fastest of ${runs} runs with ${threads} ${threads === 1 ? 'thread' : 'threads'}; ratios to ${nets[0]?.architecture ?? ''}; published: a Titan X`,
      header: [
        ...['net', 'parameters, M', 'GMAC', 'ms', 'parameters ×', 'multiply-adds ×', 'time ×'],
        ...['published ms', 'published time ×'],
      ],
      rows: nets.map(({ architecture, parameters, multiplyAdds, milliseconds, ratios, publishedMs }) => [
        ...[architecture, (parameters / 1e6).toFixed(2), (multiplyAdds / 1e9).toFixed(2), Math.round(milliseconds)],
        ...[ratios.parameters, ratios.multiplyAdds, ratios.time].map(ratio),
        publishedMs ?? '',
        publishedMs === undefined || published === undefined ? '' : ratio(publishedMs / published),
      ]),
    },
    {
      table: 'Wide nets: parameters in millions, built and published',
      header: ['net', 'width', 'built', 'published'],
      rows: widths.map(({ architecture, width: factor, parameters, published: known }) => [
        ...[architecture, factor, (parameters / 1e6).toFixed(2), known],
      ]),
    },
    {
      text: "The lecture's slide has these counts under the widths 1.0, 2.0, 3.0 and 4.0. They are those of 1, 1.5, 2 and 3.",
    },
    ...(nets.length < 2
      ? []
      : [{ figure: 'width', caption: 'Time over multiply-adds', draw: () => draw(nets, batch) }]),
  ];
}

async function draw(nets: readonly TimedNet[], batch: number): Promise<string> {
  const [{ drawBalls }, { linearAxis }] = await Promise.all([import('../plots/balls.js'), import('../plots/axes.js')]);
  const balls = nets.map(({ architecture, parameters, ratios }) => ({
    ...{ name: architecture, family: architecture.replace(/\d.*$/, ''), hollow: false },
    ...{ x: ratios.multiplyAdds, y: ratios.time, parametersM: parameters / 1e6 },
  }));
  const axis = (label: string, of: 'x' | 'y') =>
    linearAxis(
      label,
      balls.map((ball) => ball[of]),
      0.5,
    );
  return drawBalls({
    titles: [`time of a batch of ${batch} and multiply-adds, as multiples of those of ${nets[0]!.architecture}`],
    x: axis('multiply-adds', 'x'),
    y: axis('time', 'y'),
    balls,
  });
}
