import { describe, expect, it } from 'vitest';
import { ceilingsOf, fitLine, runCostsOf, speedOfHalf } from '../../../../load/gpu/ceilings.js';
import { toMarkdown } from '../../../../load/gpu/markdown.js';
import {
  GPU_REPORT_VERSION,
  putRow,
  type DecodeRow,
  type EngineRow,
  type FrontsRow,
  type GpuReport,
  type Numbers,
  type Row,
  type ServerRow,
} from '../../../../load/gpu/report.js';
import { reportOf, sampleAt } from '../../../support/load-reports.js';

const CUDA = 'onnxruntime/cuda';

/** An engine whose run costs 2 ms and half a millisecond for each GMAC; an image is 4 GMAC. */
function engine(batch: number, perImage = 2, numbers: Numbers = 'tf32', device = CUDA): EngineRow {
  const ms = 2 + perImage * batch;
  return {
    ...{ table: 'engine', key: `${device} ${numbers} ${batch}`, device, numbers, model: 'resnet50', batch },
    ...{ gmacs: 4 * batch, ms, perSecond: (1000 * batch) / ms, firstMs: 100, runs: 5 },
  };
}
const decode = (perSecond: number): DecodeRow => ({
  ...{ table: 'decode', key: 'a', models: ['resnet50', 'resnet18'], perSecond, coreMs: 3, threadMs: 0.3 },
  ...{ processes: 8, isServed: true },
});
const inOneProcess = (perSecond: number): DecodeRow => ({
  ...decode(perSecond),
  ...{ key: 'b', processes: 0, isServed: false },
});
const fronts = (clients: number, perSecond: number): FrontsRow => ({
  ...{ table: 'fronts', key: String(clients), clients, sample: sampleAt(perSecond).server },
  ...{ clientCores: 0.5, clientProcesses: 1 },
});
function server(clients: number, perSecond: number, runCost?: ServerRow['runCost'], device = CUDA): ServerRow {
  return {
    ...{ table: 'server', key: `${device} ${clients}`, device, numbers: 'tf32', model: 'resnet50', clients },
    ...{ sample: sampleAt(perSecond).server, clientCores: 0.5, clientProcesses: 1, startSeconds: 3 },
    ...(runCost && { runCost }),
  };
}

function gpuReport(...rows: Row[]): GpuReport {
  const { machine } = reportOf();
  return {
    ...{ kind: 'gpu', version: GPU_REPORT_VERSION, state: 'running', machine, parts: [], elapsedSeconds: 7 },
    settings: { seconds: 480, models: ['resnet50'], batches: [1], clients: [1], sides: [224], goldens: [] },
    ...{ steps: [], notes: [], rows },
  };
}

describe('what binds', () => {
  it.each([
    [1000, 2000, 'engine', 495],
    [300, 2000, 'decoding', 300],
    [1000, 200, 'fronts', 200],
  ])('is the slowest part: decoding %d, fronts %d', (decoding, front, binds, ceiling) => {
    const decodes = [inOneProcess(1), decode(decoding)];
    const rows = [engine(1), engine(100), ...decodes, fronts(1, 10), fronts(32, front), server(32, ceiling / 2)];
    const [found] = ceilingsOf({ rows });
    expect(found).toMatchObject({ binds, batch: 100, serverClients: 32 });
    expect(found!.ceiling).toBeCloseTo(ceiling, 0);
    expect(found!.server! / found!.ceiling!).toBeCloseTo(0.5, 1);
  });

  it('is what both leave of the cores where the engine computes on those that decode', () => {
    const cpu = 'onnxruntime/cpu';
    const [found] = ceilingsOf({ rows: [engine(100, 2, 'fp32', cpu), decode(490), fronts(32, 2000)] });
    expect(found!.ceiling).toBeCloseTo(246.3, 0);
    expect(found!.binds).toMatch('on the cores');
  });

  it('is not known while a part was not measured', () => {
    const [found] = ceilingsOf({ rows: [engine(1), fronts(32, 2000)] });
    expect(found).toMatchObject({ binds: undefined, ceiling: undefined, decode: undefined });
  });
});

describe('the cost of a run', () => {
  it('is a line through the times of the batches', () => {
    const line = fitLine([1, 2, 4, 8].map((batch) => [4 * batch, 2 + 2 * batch]));
    expect(line!.fixedMs).toBeCloseTo(2);
    expect(line!.msPerGmac).toBeCloseTo(0.5);
    expect(fitLine([[4, 1]])).toBeUndefined();
    expect(
      fitLine([
        [4, 1],
        [4, 2],
      ]),
    ).toBeUndefined();
  });

  it('of the server is held against that of the engine, for one image and for the largest batch that is served', () => {
    const rows = [1, 8, 32, 64].map((batch) => engine(batch));
    const found = runCostsOf({
      rows: [...rows, server(1, 100, { fixedMs: 9, msPerGmac: 9 }), server(32, 400, { fixedMs: 4, msPerGmac: 0.5 })],
    });
    expect(found).toHaveLength(1);
    expect(found[0]!.offline.fixedMs).toBeCloseTo(2);
    expect(found[0]!.ratios.map(({ batch }) => batch)).toEqual([1, 32]);
    expect(found[0]!.ratios[0]!.ratio).toBeCloseTo(6 / 4);
    expect(found[0]!.ratios[1]!.ratio).toBeCloseTo(68 / 66);
  });
});

it('half precision is compared with the same batch', () => {
  const rows = [engine(8), engine(16), { ...engine(8, 1, 'fp16') }];
  expect(speedOfHalf({ rows })).toEqual([{ device: CUDA, model: 'resnet50', batch: 8, ratio: 18 / 10 }]);
});

it('a row takes the place of an earlier one of the same name', () => {
  const report = gpuReport();
  putRow(report, server(1, 5));
  putRow(report, server(32, 6));
  putRow(report, server(1, 7));
  expect(report.rows.map((row) => 'sample' in row && row.sample.imagesPerSecond)).toEqual([7, 6]);
});

describe('the report', () => {
  it('says what was found and what was not', () => {
    const report = gpuReport(
      engine(1),
      decode(300),
      fronts(32, 2000),
      server(32, 250, { fixedMs: 2, msPerGmac: 0.5 }),
      { table: 'device', key: 'a', device: 'onnxruntime/webgpu', failure: 'libvulkan.so.1 is missing | a\nb' },
      {
        table: 'answer',
        key: 'a',
        device: CUDA,
        numbers: 'tf32',
        against: 'golden',
        model: 'vgg11',
        error: NaN,
        bound: 1e-2,
      },
      {
        ...{
          table: 'changing-counts',
          key: 'a',
          device: CUDA,
          numbers: 'tf32',
          model: 'resnet50',
          batch: 8,
          other: 16,
        },
        ...{ planned: true, sameMs: 2.5, changedMs: 52.5, runs: 5 },
      },
      { table: 'torch', key: 'a', model: 'resnet50', form: 'eager', batch: 256, failure: 'CUDA out of memory' },
    );
    report.steps.push({
      ...{
        name: 'engine on a device',
        state: 'died',
        limitSeconds: 60,
        seconds: 3,
        why: 'its process ended with signal SIGSEGV',
      },
      ...{ written: 'a library\nsaid this', notes: ['no time was left for vgg16'] },
    });
    const text = toMarkdown(report);
    expect(text).toContain('was cut off');
    expect(text).toContain('| onnxruntime/webgpu | no: libvulkan.so.1 is missing \\| a b |');
    expect(text).toContain('| onnxruntime/cuda | tf32 | vgg11 | golden | NaN | 1.0e-2 | – | **no** |');
    expect(text).toContain('| died: its process ended with signal SIGSEGV | 3.0 | 60.0 | no time was left for vgg16 |');
    expect(text).toContain('    a library\n    said this');
    expect(text).toContain('CUDA out of memory');
    expect(text).toContain('| onnxruntime/cuda | tf32 | resnet50 | 8 | 16 | yes | 2.50 | 52.5 | 50.0 |');
    const lines = text.split('\n').filter((line) => line.startsWith('|'));
    for (const line of lines) expect(line).toMatch(/\|$/);
  });

  it('is readable before anything was found', () => {
    expect(toMarkdown(gpuReport())).toContain('7 of at most 480 s');
  });
});
