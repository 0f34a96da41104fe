/** `"precision": "fp16"`: where it is computed, where it is widened, and where it is refused. */
import { open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { denseViews, type CompiledModel } from '../../../src/models/compile.js';
import type { View } from '../../../src/models/dense-views.js';
import type { SessionRunner } from '../../../src/models/parity.js';
import { createRegistry, type Registry } from '../../../src/models/registry.js';
import { readSafetensors } from '../../../src/models/files/safetensors.js';
import { createOnnxruntimeEngine } from '../../../src/runtime/onnxruntime/engine.js';
import { onnxruntime } from '../../../src/runtime/onnxruntime/description.js';
import { tensorflow } from '../../../src/runtime/tensorflow/description.js';
import type { Session, SessionSpec } from '../../../src/runtime/session.js';
import type { TensorMap } from '../../../src/tensor.js';
import { randomImage, relativeError } from '../../support/ort.js';
import { HEADS, TINY, tinyClassifier } from '../../support/tiny-classifiers.js';
import { writeOnnxModel, writeTinyModels } from '../../support/tiny-models.js';

/** Sessions of the real engine, on this thread. */
class EngineSessions implements SessionRunner {
  readonly engine = createOnnxruntimeEngine({ threads: 1, device: { kind: 'cpu', index: 0 } });
  readonly opened = new Map<string, Session>();
  readonly asked: string[] = [];
  /** What a session of this name answers, or whether it opens, in place of the engine. */
  answer: { view: string; outputs: TensorMap | undefined } | undefined;

  async open(spec: SessionSpec): Promise<void> {
    this.asked.push(spec.id.split('/')[1]!);
    if (this.answer?.outputs === undefined && this.answer && spec.id.endsWith(this.answer.view))
      throw new Error('no kernel');
    this.opened.set(spec.id, await this.engine.open(spec));
  }

  async close(id: string): Promise<void> {
    await this.opened.get(id)?.release();
    this.opened.delete(id);
  }

  async run(id: string, feeds: TensorMap): Promise<TensorMap> {
    if (this.answer?.outputs !== undefined && id.endsWith(this.answer.view)) return this.answer.outputs;
    const batch = Object.entries(feeds).map(
      ([name, tensor]) => [name, { ...tensor, dims: [1, ...tensor.dims] }] as const,
    );
    const outputs = await this.opened.get(id)!.run(Object.fromEntries(batch));
    return Object.fromEntries(
      Object.entries(outputs).map(([name, tensor]) => [name, { ...tensor, dims: tensor.dims.slice(1) }]),
    );
  }
}

let folder: string;
let sessions: EngineSessions;
beforeEach(async () => {
  folder = await writeTinyModels();
  sessions = new EngineSessions();
});
afterEach(async () => {
  for (const id of [...sessions.opened.keys()]) await sessions.close(id);
  await rm(folder, { recursive: true, force: true });
});

const start = (onHalf: boolean): Promise<Registry> =>
  createRegistry({ folder, cache: folder, untrained: [], defaultModel: '', computesHalf: onHalf }, sessions);

const inHalf = (name: string): Promise<void> => state(name, { precision: 'fp16' });

/** Fields added to a model's manifest. */
async function state(name: string, fields: Record<string, unknown>): Promise<void> {
  const file = join(folder, name, 'model.json');
  const manifest = JSON.parse(await readFile(file, 'utf8')) as Record<string, unknown>;
  await writeFile(file, JSON.stringify({ ...manifest, ...fields }));
}

/** One number of a weight, overwritten in its file. */
async function setWeight(name: string, tensor: string, value: number): Promise<void> {
  const path = join(folder, name, 'model.safetensors');
  const { offset } = (await readSafetensors(path)).tensors.get(tensor)!;
  const file = await open(path, 'r+');
  await file.write(new Uint8Array(Float32Array.of(value).buffer), 0, 4, offset);
  await file.close();
}

async function answerOf(view: View, side = 64): Promise<TensorMap> {
  const { dims, data } = randomImage([side, side, 3]);
  const { id } = view.session;
  const isOpen = sessions.opened.has(id);
  if (!isOpen) await sessions.open(view.session);
  const classes = { type: 'int64', dims: [2], data: BigInt64Array.of(1n, 10n) } as const;
  const image = { type: 'uint8', dims, data: data as Uint8Array } as const;
  const outputs = await sessions.run(id, id.includes('dense') ? { image, classes } : { image });
  if (!isOpen) await sessions.close(id);
  return outputs;
}

async function expectSame(half: View, single: View, side?: number): Promise<void> {
  const [actual, expected] = [await answerOf(half, side), await answerOf(single, side)];
  for (const name of ['logits', 'class_logits', 'log_normalizer'].filter((output) => output in expected)) {
    const error = relativeError(actual[name]!.data, expected[name]!.data);
    expect(error).toBeLessThan(1e-2);
    expect(error).toBeGreaterThan(0);
  }
}

describe('on a device that computes in half precision', () => {
  it.each(['tiny-resnet', 'tiny-vgg'])('%s answers as in single, in every view', async (name) => {
    const single = (await start(true)).get(name);
    expect(single.precision).toBe('fp32');
    await inHalf(name);
    const half = (await start(true)).get(name);
    expect(half.precision).toBe('fp16');
    await expectSame(half.classifier, single.classifier);
    const larger = { width: 96, height: 96 };
    await expectSame(half.classifyView(larger), single.classifyView(larger), 96);
    for (const outputStride of denseViews(single).outputStrides) {
      await expectSame(denseViews(half).view({ outputStride }), denseViews(single).view({ outputStride }), 96);
    }
    await expectSame(denseViews(half).view({ edge: 'same' }), denseViews(single).view({ edge: 'same' }), 96);
  });

  it('an imported net too, whose class map is held against its file in single precision', async () => {
    await writeOnnxModel(folder, 'imported', writeOnnx(tinyClassifier(HEADS[0]!)), TINY);
    await inHalf('imported');
    const model = (await start(true)).get('imported');
    expect(model.precision).toBe('fp16');
    expect(model.deviation).toBeLessThan(1e-3);
    expect('view' in model.dense).toBe(true);
  });

  it('measures a model once', async () => {
    await inHalf('tiny-resnet');
    await start(true);
    expect(sessions.asked).toEqual(expect.arrayContaining(['single-parity', 'half-parity']));
    sessions.asked.length = 0;
    expect((await start(true)).get('tiny-resnet').precision).toBe('fp16');
    expect(sessions.asked.filter((view) => view.endsWith('parity'))).toEqual([]);
  });

  it('refuses a model with a weight beyond its range, by name, also where a ReLU would hide it', async () => {
    await setWeight('tiny-vgg', 'features.8.weight', -1e5);
    await inHalf('tiny-vgg');
    const entry = (await start(true)).entry('tiny-vgg');
    expect(entry.state).toBe('failed');
    expect(entry.reason).toBe(
      'model.json: precision: is fp16, but in half precision the weight "features.8.weight" would be infinite: it exceeds 65504',
    );
  });

  const logits = (values: number[]): TensorMap => ({
    logits: { type: 'float32', dims: [values.length], data: Float32Array.from(values) },
    largest_weights: { type: 'float32', dims: [1], data: Float32Array.of(1) },
  });
  it.each([
    ['no numbers', Array<number>(10).fill(NaN), /the logits are not finite: values of the net exceed 65504$/],
    ['infinite', Array<number>(10).fill(Infinity), /the logits are not finite/],
    ['others', Array<number>(10).fill(0), /the logits differ by \d\S*, over 1 % of the largest, \d\S*$/],
  ])('refuses a model whose logits are %s there', async (_, values, reason) => {
    sessions.answer = { view: 'half-parity', outputs: logits(values) };
    await inHalf('tiny-resnet');
    const registry = await start(true);
    expect(registry.entry('tiny-resnet')).toMatchObject({
      state: 'failed',
      reason: expect.stringMatching(reason) as string,
    });
    expect(registry.entry('tiny-vgg').state).toBe('ready');
    expect([...sessions.opened.keys()].filter((id) => id.endsWith('parity'))).toEqual([]);
  });

  it('serves a model in single precision where the engine does not open it in half', async () => {
    sessions.answer = { view: 'half-parity', outputs: undefined };
    await inHalf('tiny-resnet');
    expect((await start(true)).get('tiny-resnet').precision).toBe('fp32');
  });

  it('refuses it of a net that computes in 8-bit integers', async () => {
    const graph = tinyClassifier(HEADS[0]!);
    const scale = {
      name: 'scale',
      dataType: 'float32',
      dims: [],
      data: { kind: 'inline', bytes: new Uint8Array(Float32Array.of(0.01).buffer) },
    } as const;
    const pair = [
      { op: 'QuantizeLinear', name: 'q', inputs: ['x', 'scale'], outputs: ['x.q'], attributes: {} },
      { op: 'DequantizeLinear', name: 'dq', inputs: ['x.q', 'scale'], outputs: ['x.dq'], attributes: {} },
    ];
    const rest = graph.nodes.map((node) => ({
      ...node,
      inputs: node.inputs.map((input) => (input === 'x' ? 'x.dq' : input)),
    }));
    const quantized = {
      ...graph,
      nodes: [...pair, ...rest],
      initializers: new Map(graph.initializers).set('scale', scale),
    };
    await writeOnnxModel(folder, 'quantized', writeOnnx(quantized), TINY);
    await inHalf('quantized');
    expect((await start(true)).entry('quantized').reason).toBe(
      'model.json: precision: is fp16, but the net computes in 8-bit integers',
    );
  });
});

describe('on any other device', () => {
  it('the same folder is served in single precision, exactly as it would be without', async () => {
    const single: CompiledModel = (await start(false)).get('tiny-resnet');
    await inHalf('tiny-resnet');
    const widened = (await start(false)).get('tiny-resnet');
    expect(widened.precision).toBe('fp32');
    expect(widened.halfCheck).toBeUndefined();
    expect(widened.classifier.session.model).toEqual(single.classifier.session.model);
    expect(sessions.asked.filter((view) => view.endsWith('parity'))).toEqual([]);
  });

  it('which the CPU is one of, and all that TensorFlow.js computes on', () => {
    expect(onnxruntime.computesHalf('cpu')).toBe(false);
    for (const kind of ['cuda', 'tensorrt', 'webgpu', 'coreml', 'dml'] as const) {
      expect(onnxruntime.computesHalf(kind)).toBe(true);
      expect(tensorflow.computesHalf(kind)).toBe(false);
    }
  });
});

describe('an engine that computes single-precision nets in bfloat16', () => {
  /** The logits of sessions that are told to are other by a part of the largest. */
  class CastingSessions extends EngineSessions {
    readonly cast = new Set<string>();
    constructor(readonly error: number) {
      super();
    }

    override async open(spec: SessionSpec): Promise<void> {
      if (spec.autocast === 'bf16') this.cast.add(spec.id);
      await super.open(spec);
    }

    override async run(id: string, feeds: TensorMap): Promise<TensorMap> {
      const outputs = await super.run(id, feeds);
      const { logits } = outputs;
      if (!this.cast.has(id) || logits?.type !== 'float32') return outputs;
      const largest = Math.max(...(logits.data as Float32Array).map(Math.abs));
      const data = (logits.data as Float32Array).map(
        (value, index) => value + (index === 0 ? this.error * largest : 0),
      );
      return { ...outputs, logits: { ...logits, type: 'float32', data } };
    }
  }

  async function startCasting(
    error: number,
    options: { precision?: 'auto' | 'fp32' | 'bf16' } = {},
  ): Promise<Registry> {
    sessions = new CastingSessions(error);
    const registry = { folder, cache: folder, untrained: [], defaultModel: '' };
    return createRegistry({ ...registry, engine: 'openvino', autocast: 'bf16', ...options }, sessions);
  }

  const isCast = (model: CompiledModel): boolean[] =>
    [model.classifier, denseViews(model).view(), denseViews(model).view({ edge: 'same' })].map(
      ({ session }) => session.autocast === 'bf16',
    );

  it('does so in every view where the logits stay the same, and says it', async () => {
    const model = (await startCasting(0.009)).get('tiny-resnet');
    expect(model).toMatchObject({ precision: 'bf16', engine: 'openvino' });
    expect(isCast(model)).toEqual([true, true, true]);
    expect(sessions.asked).toEqual(expect.arrayContaining(['single-parity', 'half-parity']));
  });

  it('does not where they do not, and says why', async () => {
    const model = (await startCasting(0.011)).get('tiny-resnet');
    expect(model.precision).toBe('fp32');
    expect(model.notHalf).toMatch(/^bf16, but in half precision the logits differ by \S+, over 1 % of the largest, /);
    expect(isCast(model)).toEqual([false, false, false]);
  });

  it.each([
    [0.019, 'bf16', undefined],
    [0.021, 'fp32', 'over 2 % of the largest'],
  ])('takes the bound that the model states: 0.02, with an error of %d', async (error, precision, why) => {
    await state('tiny-resnet', { halfTolerance: 0.02 });
    const model = (await startCasting(error)).get('tiny-resnet');
    expect(model.precision).toBe(precision);
    if (why === undefined) expect(model.notHalf).toBeUndefined();
    else expect(model.notHalf).toContain(why);
  });

  it('refuses a model that it is asked for, and does not fit', async () => {
    const entry = (await startCasting(0.011, { precision: 'bf16' })).list().find(({ name }) => name === 'tiny-resnet')!;
    expect(entry.state).toBe('failed');
    expect(entry.reason).toMatch(/precision.* is bf16, but in half precision the logits differ by/);
  });

  it('leaves alone what is to be in single precision', async () => {
    const model = (await startCasting(0, { precision: 'fp32' })).get('tiny-resnet');
    expect(model.precision).toBe('fp32');
    expect(isCast(model)).toEqual([false, false, false]);
    expect(sessions.asked.filter((view) => view.endsWith('parity'))).toEqual([]);
  });

  it('measures again what was measured of another precision', async () => {
    await inHalf('tiny-resnet');
    await start(true);
    const model = (await startCasting(0)).get('tiny-resnet');
    expect(model.precision).toBe('bf16');
    expect(sessions.asked).toContain('half-parity');
  });
});
