/** Nets whose input or output is not a batch of one float image to a row of numbers: each answers as its own file computes. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { int, ints } from '../../src/graph/attributes.js';
import type { DataType, Dim, Graph, Node } from '../../src/graph/graph.js';
import { inlineConstant } from '../../src/graph/constants.js';
import { writeOnnx } from '../../src/graph/onnx/model.js';
import { ModelProtoSchema, NodeProtoSchema, OperatorSetIdProtoSchema } from '../../src/graph/onnx/proto/onnx_pb.js';
import { startTestApp, type TestApp } from '../support/app.js';
import { runGraph, type Value } from '../support/ort.js';
import { HEADS, TINY, tinyClassifier } from '../support/tiny-classifiers.js';
import { writeOnnxModel } from '../support/tiny-models.js';

const SIDE = TINY.size;
const POOLED = HEADS.find(({ name }) => name.startsWith('ReduceMean'))!;
const PIXELS = Uint8Array.from({ length: SIDE * SIDE * 3 }, (_, index) => (index * 37 + (index % 11) * 19) % 256);

/** The net behind nodes that make its input `x` of another one. */
function behind(graph: Graph, dims: readonly Dim[], dataType: DataType, steps: readonly Omit<Node, 'name'>[]): Graph {
  const nodes = steps.map((step, index): Node => ({ ...step, name: `step_${index}` }));
  return { ...graph, inputs: [{ name: 'u', dataType, dims }], nodes: [...nodes, ...graph.nodes] };
}

const step = (op: string, inputs: readonly string[], output: string, attributes: Node['attributes'] = {}) => ({
  op,
  inputs,
  outputs: [output],
  attributes,
});

/** [H, W, 3] → [3, H, W] */
function planar(values: ArrayLike<number>): Float32Array {
  const cells = SIDE * SIDE;
  return Float32Array.from(
    { length: 3 * cells },
    (_, index) => values[(index % cells) * 3 + Math.floor(index / cells)]!,
  );
}

interface Case {
  readonly graph: Graph;
  /** What the file gets for the picture. */
  readonly feed: Value;
  readonly name: string;
  readonly input?: object;
}

const float = planar(Float32Array.from(PIXELS, (value) => value / 255));
const net = tinyClassifier(POOLED, { opset: 18 });
const axes = inlineConstant('axes', 'int64', [1], [0]);
const scale = inlineConstant('per_level', 'float32', [], [1 / 255]);
const withConstant = (graph: Graph, constant: typeof axes): Graph => ({
  ...graph,
  initializers: new Map([...graph.initializers, [constant.name, constant]]),
});

const CASES: Record<string, Case> = {
  'no batch axis': {
    name: 'unbatched',
    graph: {
      ...behind(withConstant(net, axes), [3, SIDE, SIDE], 'float32', [step('Unsqueeze', ['u', 'axes'], 'x')]),
    },
    feed: { dims: [3, SIDE, SIDE], data: float },
  },
  'bytes, channels last': {
    name: 'bytes',
    graph: behind(withConstant(net, scale), [1, SIDE, SIDE, 3], 'uint8', [
      step('Cast', ['u'], 'f', { to: int(1) }),
      step('Transpose', ['f'], 'p', { perm: ints(0, 3, 1, 2) }),
      step('Mul', ['p', 'per_level'], 'x'),
    ]),
    feed: { dims: [1, SIDE, SIDE, 3], data: PIXELS },
  },
  'an operator of ONNX Runtime itself': {
    name: 'microsoft',
    graph: {
      ...net,
      nodes: net.nodes.map((node, index) => (index === 1 ? { ...node, op: 'com.microsoft:Gelu' } : node)),
    },
    feed: { dims: [1, 3, SIDE, SIDE], data: float },
  },
  'a batch of four that it cannot do without': {
    name: 'four',
    graph: boundToFour(),
    feed: { dims: [4, 3, SIDE, SIDE], data: Float32Array.from([...float, ...float, ...float, ...float]) },
  },
};

/** A net that joins a constant of four images to its map. */
function boundToFour(): Graph {
  const graph = tinyClassifier(POOLED, { opset: 18, sizes: 'free' });
  const mean = graph.nodes.find(({ op }) => op === 'ReduceMean')!;
  const token = inlineConstant(
    'token',
    'float32',
    [4, 6, 1, 4],
    Float32Array.from({ length: 96 }, (_, i) => i / 50),
  );
  const joined: Node = {
    op: 'Concat',
    name: 'joined',
    inputs: [mean.inputs[0]!, 'token'],
    outputs: ['joined'],
    attributes: { axis: int(2) },
  };
  return {
    ...withConstant(graph, token),
    inputs: [{ name: 'x', dataType: 'float32', dims: [4, 3, SIDE, SIDE] }],
    nodes: graph.nodes.flatMap((node) =>
      node === mean ? [joined, { ...mean, inputs: ['joined', ...mean.inputs.slice(1)] }] : [node],
    ),
  };
}

function softmax(values: readonly number[]): number[] {
  const terms = values.map(Math.exp);
  const sum = terms.reduce((total, term) => total + term, 0);
  return terms.map((term) => term / sum);
}

/** The same file as scikit-learn's converters write classifiers: a label, and a ZipMap of the numbers. */
function zipped(graph: Graph): Uint8Array {
  const model = fromBinary(ModelProtoSchema, writeOnnx(graph));
  const inner = model.graph!;
  const [output] = inner.output;
  inner.node.push(
    create(NodeProtoSchema, { opType: 'ArgMax', name: 'best', input: [output!.name], output: ['label'] }),
    create(NodeProtoSchema, {
      opType: 'ZipMap',
      domain: 'ai.onnx.ml',
      name: 'zip',
      input: [output!.name],
      output: ['maps'],
    }),
  );
  inner.output = [
    { ...output!, name: 'label' },
    { ...output!, name: 'maps' },
  ];
  delete inner.output[1]!.type;
  model.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'ai.onnx.ml', version: 3n }));
  return toBinary(ModelProtoSchema, model);
}

describe('a net is served whatever its input is:', () => {
  let root: string;
  let app: TestApp;
  let picture: Buffer;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'fullconv-inputs-'));
    const models = join(root, 'models');
    const add = async (name: string, file: Uint8Array, others: object = {}): Promise<void> => {
      await writeOnnxModel(models, name, file, TINY);
      const manifest = join(models, name, 'model.json');
      const content = JSON.parse(await readFile(manifest, 'utf8')) as { input: object };
      const input = {
        ...content.input,
        size: SIDE,
        resize: SIDE,
        range: 255,
        mean: [0, 0, 0],
        std: [1, 1, 1],
        ...others,
      };
      await writeFile(manifest, JSON.stringify({ ...content, input }));
    };
    for (const { name, graph } of Object.values(CASES)) await add(name, writeOnnx(graph));
    await add('zipped', zipped(net));
    await add('stretched', writeOnnx(net), { fit: 'stretch' });
    app = await startTestApp({ FULLCONV_CACHE: join(root, 'cache') }, models);
    picture = await sharp(PIXELS, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .png()
      .toBuffer();
  });
  afterAll(async () => {
    await app.close();
    await rm(root, { recursive: true });
  });

  const classify = async (model: string): Promise<number[]> => {
    const response = await app.http.inject({
      method: 'POST',
      url: `/v1/classify?fit=native&model=${model}`,
      payload: picture,
    });
    expect(response.statusCode, response.body).toBe(200);
    const { results } = response.json<{ results: { predictions: { index: number; probability: number }[] }[] }>();
    return results[0]!.predictions.toSorted((a, b) => a.index - b.index).map(({ probability }) => probability);
  };
  const expectSame = (actual: readonly number[], logits: readonly number[]): void => {
    expect(actual).toHaveLength(TINY.classes);
    softmax(logits).forEach((value, index) => expect(actual[index]).toBeCloseTo(value, 4));
  };

  it.each(Object.entries(CASES))('%s', async (_, { name, graph, feed }) => {
    const outputs = await runGraph(graph, { [graph.inputs[0]!.name]: feed });
    const [logits] = Object.values(outputs);
    expectSame(await classify(name), Array.from(logits!.data.slice(0, TINY.classes), Number));
  });

  it('a ZipMap behind its numbers', async () => {
    const [logits] = Object.values(await runGraph(net, { x: { dims: [1, 3, SIDE, SIDE], data: float } }));
    expectSame(await classify('zipped'), Array.from(logits!.data, Number));
  });

  it('stretches photos where the manifest says so, and a request does not', async () => {
    const wide = await sharp(PIXELS, { raw: { width: SIDE, height: SIDE, channels: 3 } })
      .resize(3 * SIDE, SIDE, { fit: 'fill', kernel: 'nearest' })
      .png()
      .toBuffer();
    const ask = async (query: string): Promise<unknown> => {
      const url = `/v1/classify?model=stretched${query}`;
      const { results } = (await app.http.inject({ method: 'POST', url, payload: wide })).json<{
        results: { predictions: unknown }[];
      }>();
      return results[0]!.predictions;
    };
    expect(await ask('')).toEqual(await ask('&fit=stretch'));
    expect(await ask('')).not.toEqual(await ask('&fit=crop'));
    const described = await app.http.inject('/v1/models/stretched');
    expect(described.json()).toMatchObject({ input: { fit: 'stretch' } });
  });

  it('refuses a net that takes bytes and a preset that normalizes them', async () => {
    const manifest = join(root, 'models', 'bytes', 'model.json');
    const content = JSON.parse(await readFile(manifest, 'utf8')) as { input: object };
    await writeFile(manifest, JSON.stringify({ ...content, input: { ...content.input, mean: [0.5, 0.5, 0.5] } }));
    await app.service.registry.unload('bytes');
    await app.service.registry.load('bytes').catch(() => undefined);
    const { reason } = app.service.registry.entry('bytes');
    expect(reason).toMatch(/input\.mean.*whole numbers from 0 to 255/);
  });
});
