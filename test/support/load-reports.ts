/** Reports as a load test makes them, with figures that are easy to follow. */
import type { OpenSample } from '../../load/open-loop.js';
import { REPORT_VERSION, type Report, type Row, type Sample } from '../../load/report.js';
import { readScenario } from '../../load/scenario.js';

export function sampleAt(imagesPerSecond: number, more: Partial<OpenSample> = {}): Sample {
  return {
    engine: 100,
    decode: 100,
    ceiling: 50,
    peak: 200,
    server: {
      imagesPerSecond,
      ...{ p50Ms: 10, p95Ms: 20, p99Ms: 30, p999Ms: 40 },
      ...{ batchSizes: { '1': 3, '2': 1 }, meanBatch: 1.25, dispatches: { idle: 4 } },
      ...{ cores: 1.5, ownCores: 0.2, eventLoopP99Ms: 11, peakMiB: 512, errors: 0 },
      ...more,
    },
  };
}

export function row(model: string, samples: readonly Sample[], more: Partial<Row> = {}): Row {
  return {
    models: [model],
    ...{ precision: 'fp32', view: 'classify', sizes: 'photos' },
    load: { loop: 'closed', clients: 8 },
    ...{ parametersM: 25, gmacs: 4, megapixels: 0.2, engineBatch: [4] },
    samples,
    ...more,
  };
}

export function reportOf(...rows: Row[]): Report {
  const { models: _models, output: _output, ...settings } = readScenario([])!;
  return {
    kind: 'load',
    version: REPORT_VERSION,
    machine: {
      ...{ date: '2026-01-01', commit: 'abc', processor: 'A processor', cores: 2, memoryGiB: 8 },
      ...{ node: 'v20', onnxruntime: '1', sharp: '1' },
    },
    settings: { ...settings, workers: 2, threads: 1, decoders: 4, maxBatch: 8, devices: ['cpu'] },
    rows,
    notes: [],
  };
}
