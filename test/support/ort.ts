/** Graphs run in ONNX Runtime, one session at a time: the reference for shapes and for the equivalence of passes. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { expect } from 'vitest';
import type { Graph, Initializer } from '../../src/graph/graph.js';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import { generatedUniform, generatedValues } from '../../src/models/networks/generated-weights.js';

export type Values = Float32Array | Uint8Array | Int32Array | BigInt64Array;

export interface Value {
  readonly dims: readonly number[];
  readonly data: Values;
}

export interface RunOptions {
  /** Where external weights are. */
  readonly folder?: string;
  /** Optimizations can hide a shape that the runtime would compute; `disabled` runs the graph as it is. */
  readonly optimization?: 'all' | 'disabled';
}

/** Open a graph on the CPU. External weights are used where they are, without packed copies. */
export function openGraph(graph: Graph, { folder, optimization = 'all' }: RunOptions = {}): Promise<InferenceSession> {
  return InferenceSession.create(writeOnnx(graph), {
    graphOptimizationLevel: optimization,
    intraOpNumThreads: 1,
    logSeverityLevel: 4,
    enableMemPattern: false,
    extra: {
      session: {
        disable_prepacking: '1',
        ...(folder === undefined ? {} : { model_external_initializers_file_folder_path: folder }),
      },
    },
  });
}

const TYPES = new Map<unknown, 'float32' | 'uint8' | 'int32' | 'int64'>([
  [Float32Array, 'float32'],
  [Uint8Array, 'uint8'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
]);

/** Run an open session once. */
export async function runSession(
  session: InferenceSession,
  feeds: Readonly<Record<string, Value>>,
): Promise<Record<string, Value>> {
  const tensors = Object.entries(feeds).map(([name, { data, dims }]) => [
    name,
    new Tensor(TYPES.get(data.constructor)!, data, dims),
  ]);
  const outputs = await session.run(Object.fromEntries(tensors) as Record<string, Tensor>);
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { dims, data }]) => [name, { dims, data: data as Values }]),
  );
}

/** Open, run once, release. */
export async function runGraph(
  graph: Graph,
  feeds: Readonly<Record<string, Value>>,
  options: RunOptions = {},
): Promise<Record<string, Value>> {
  const session = await openGraph(graph, options);
  try {
    return await runSession(session, feeds);
  } finally {
    await session.release();
  }
}

/** The graph with generated weights inline: for tiny nets. */
export function withGeneratedWeights(graph: Graph): Graph {
  const initializers = [...graph.initializers.values()].map((initializer): [string, Initializer] => {
    const { name, dims, data } = initializer;
    if (data.kind !== 'unbound') return [name, initializer];
    const bytes = new Uint8Array(generatedValues(name, dims).buffer);
    return [name, { ...initializer, data: { kind: 'inline', bytes } }];
  });
  return { ...graph, initializers: new Map(initializers) };
}

/** Numbers in [−1, 1) that depend on the seed only. */
export function randomTensor(dims: readonly number[], seed = 'input'): Value {
  const count = dims.reduce((product, size) => product * size, 1);
  return { dims, data: Float32Array.from(generatedUniform(seed, count)) };
}

/** A uint8 image [n, h, w, 3]; the golden README's image for n = 1. */
export function randomImage(dims: readonly number[], seed = 'image'): Value {
  const count = dims.reduce((product, size) => product * size, 1);
  return { dims, data: Uint8Array.from(generatedUniform(seed, count), (u) => Math.floor(128 + 127 * u)) };
}

/** Equal dimensions and values: |a − b| ≤ atol + rtol·|b|. */
export function expectClose(actual: Value | undefined, expected: Value | undefined, rtol = 1e-4, atol = 1e-5): void {
  expect(actual?.dims).toEqual(expected?.dims);
  const [a, b] = [Array.from(actual!.data, Number), Array.from(expected!.data, Number)];
  const worst = a.reduce((most, value, index) => {
    const excess = Math.abs(value - b[index]!) - (atol + rtol * Math.abs(b[index]!));
    return Number.isNaN(excess) ? Infinity : Math.max(most, excess);
  }, -Infinity);
  expect(worst, 'largest excess over the tolerance').toBeLessThanOrEqual(0);
}

/** Every `step`-th cell of [1, c, h, w] from (top, left). */
export function everyCell(step: number, { dims, data }: Value, top = 0, left = 0): Value {
  const [, channels = 0, height = 0, width = 0] = dims;
  const [h, w] = [Math.ceil((height - top) / step), Math.ceil((width - left) / step)];
  const values = Float32Array.from({ length: channels * h * w }, (_, index) => {
    const [c, y, x] = [Math.floor(index / (h * w)), Math.floor(index / w) % h, index % w];
    return Number(data[(c * height + top + y * step) * width + left + x * step]);
  });
  return { dims: [1, channels, h, w], data: values };
}

/** The square [top, top + side) × [left, left + side) of [1, c, h, w]. */
export function crop(
  { dims, data }: Value,
  { top, left, side }: { readonly top: number; readonly left: number; readonly side: number },
): Value {
  const [, channels = 0, height = 0, width = 0] = dims;
  const values = Float32Array.from({ length: channels * side ** 2 }, (_, index) => {
    const [c, y, x] = [Math.floor(index / side ** 2), Math.floor(index / side) % side, index % side];
    return Number(data[(c * height + top + y) * width + left + x]);
  });
  return { dims: [1, channels, side, side], data: values };
}

/** The mean over the last two axes of [n, k, h, w]. */
export function spatialMean({ dims, data }: Value): Value {
  const [n = 0, k = 0, h = 0, w = 0] = dims;
  const mean = Float32Array.from({ length: n * k }, (_, index) => {
    let sum = 0;
    for (let i = 0; i < h * w; i += 1) sum += Number(data[index * h * w + i]);
    return sum / (h * w);
  });
  return { dims: [n, k], data: mean };
}

/** Largest difference over the largest expected absolute value: magnitudes grow with a net's depth. */
export function relativeError(
  actual: Value['data'] | readonly number[],
  expected: Value['data'] | readonly number[],
): number {
  expect(actual.length).toBe(expected.length);
  const [a, b] = [
    Array.from<number | bigint, number>(actual, Number),
    Array.from<number | bigint, number>(expected, Number),
  ];
  const largest = (values: readonly number[]): number =>
    values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  return largest(a.map((value, index) => value - b[index]!)) / largest(b);
}
