import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import { int } from '../../../src/graph/attributes.js';
import { graphBuilder } from '../../../src/graph/build.js';
import { halfBits, halfValues } from '../../../src/graph/constants.js';
import type { Attribute, Graph, Initializer } from '../../../src/graph/graph.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { readOnnx, readOnnxInPlace, writeOnnx } from '../../../src/graph/onnx/model.js';
import {
  AttributeProto_AttributeType as AttributeType,
  ModelProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType as Type,
  type GraphProtoSchema,
  type TensorProtoSchema,
} from '../../../src/graph/onnx/proto/onnx_pb.js';
import { transposeWeight } from '../../../src/graph/weights.js';
import { fileOf } from '../../support/byte-source.js';
import { runGraph, withGeneratedWeights } from '../../support/ort.js';
import { tinyResNet } from '../../support/tiny-graphs.js';

type GraphInit = Exclude<MessageInitShape<typeof GraphProtoSchema>, { $typeName: string }>;
type ModelInit = Exclude<MessageInitShape<typeof ModelProtoSchema>, { $typeName: string }>;
type TensorInit = Exclude<MessageInitShape<typeof TensorProtoSchema>, { $typeName: string }>;

const value = (name: string) => ({
  name,
  type: {
    value: {
      case: 'tensorType' as const,
      value: { elemType: Type.FLOAT, shape: { dim: [{ value: { case: 'dimParam' as const, value: 'N' } }] } },
    },
  },
});

/** A model x → Identity → y, with parts replaced. */
function model(graph: GraphInit = {}, rest: ModelInit = {}): Uint8Array {
  const message = create(ModelProtoSchema, {
    irVersion: 8n,
    opsetImport: [{ domain: '', version: 18n }],
    ...rest,
    graph: {
      name: 'hand-made',
      input: [value('x')],
      output: [value('y')],
      node: [{ opType: 'Identity', name: 'copy', input: ['x'], output: ['y'] }],
      ...graph,
    },
  });
  return toBinary(ModelProtoSchema, message);
}

const tensor = (init: TensorInit): Uint8Array => model({ initializer: [{ name: 'w', ...init }] });
const read = (init: TensorInit): Initializer => readOnnx(tensor(init)).initializers.get('w')!;
const external = (entries: Record<string, string>, init: TensorInit = {}): TensorInit => ({
  dims: [2n],
  dataType: Type.FLOAT,
  dataLocation: TensorProto_DataLocation.EXTERNAL,
  externalData: Object.entries(entries).map(([key, text]) => ({ key, value: text })),
  ...init,
});

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

/** x + w, where w lies in a file. */
function sumWithExternal(data: Initializer['data']): Graph {
  const builder = graphBuilder({ name: 'sum' });
  const x = builder.input('x', 'float32', ['N', 4]);
  const y = builder.node('Add', [x, builder.parameter('w', [4])], { name: 'y' });
  const graph = builder.finish([{ name: y, dataType: 'float32', dims: ['N', 4] }]);
  return { ...graph, initializers: new Map([['w', { name: 'w', dataType: 'float32', dims: [4], data }]]) };
}

describe('writeOnnx and readOnnx', () => {
  it('give back the graph that was written', () => {
    const graph = tinyResNet();
    expect(readOnnx(writeOnnx(graph))).toEqual(graph);
  });

  it('keep every kind of attribute', () => {
    const attributes: Record<string, Attribute> = {
      a: { type: 'int', value: -3 },
      b: { type: 'ints', value: [1, -2, 2 ** 40] },
      c: { type: 'float', value: 0.5 },
      d: { type: 'floats', value: [0.25, -1] },
      e: { type: 'string', value: 'naïve' },
      f: { type: 'strings', value: ['x', ''] },
      g: {
        type: 'tensor',
        value: { name: 't', dataType: 'int8', dims: [2], data: { kind: 'inline', bytes: Uint8Array.of(1, 255) } },
      },
    };
    const builder = graphBuilder({ name: 'attributes' });
    builder.node('Custom', [builder.input('x', 'float32', ['N'])], { name: 'y', attributes });
    const graph = builder.finish([{ name: 'y', dataType: 'float32', dims: ['N'] }]);
    expect(readOnnx(writeOnnx(graph))).toEqual(graph);
  });

  it('take a float16 file through a Cast and back', () => {
    const data = { kind: 'external', file: 'w.bin', offset: 64, length: 8, storedAs: 'float16' } as const;
    const graph = sumWithExternal(data);
    expect(readOnnx(writeOnnx(graph))).toEqual(graph);
  });

  it('refuse to write unbound parameters', () => {
    expect(() => writeOnnx(buildArchitecture('resnet18'))).toThrow(/tensor "conv1.weight": its weights are not bound/);
  });

  it('write a few KB for VGG-16, whatever its weights weigh', () => {
    const graph = buildArchitecture('vgg16');
    const initializers = [...graph.initializers].map(([name, initializer]): [string, Initializer] => {
      const length = initializer.dims.reduce((product, size) => product * size, 4);
      return [name, { ...initializer, data: { kind: 'external', file: 'model.safetensors', offset: 0, length } }];
    });
    expect(writeOnnx({ ...graph, initializers: new Map(initializers) }).byteLength).toBeLessThan(10_000);
  });

  it.each([
    ['float32', floats(1, 2, 3, 4), {}],
    [
      'float16',
      new Uint8Array(Uint16Array.of(0x3c00, 0x4000, 0x4200, 0x4400).buffer),
      { storedAs: 'float16' as const },
    ],
  ])('let onnxruntime use %s weights inside a larger file', async (_, bytes, storedAs) => {
    const folder = await mkdtemp(join(tmpdir(), 'fullconv-onnx-'));
    try {
      await writeFile(join(folder, 'w.bin'), Buffer.concat([Buffer.alloc(72, 0xff), bytes, Buffer.alloc(5, 0xff)]));
      const data = { kind: 'external', file: 'w.bin', offset: 72, length: bytes.byteLength, ...storedAs } as const;
      const feeds = { x: { dims: [1, 4], data: Float32Array.of(10, 20, 30, 40) } };
      const { y } = await runGraph(sumWithExternal(data), feeds, { folder });
      expect(y).toEqual({ dims: [1, 4], data: Float32Array.of(11, 22, 33, 44) });
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('weights inside of an .onnx file', () => {
  const values = Float32Array.from({ length: 600 }, (_, index) => Math.fround(Math.sin(index)));
  const weight = new Uint8Array(values.buffer);
  /** y = x + w[0…299] + v, where w is large and v small. */
  const bytes = (): Uint8Array => {
    const data = { kind: 'inline', bytes: weight } as const;
    const graph = sumWithExternal({ kind: 'unbound' });
    const small = { kind: 'inline', bytes: floats(1, 2, 3, 4) } as const;
    return writeOnnx({
      ...graph,
      initializers: new Map([
        ['w', { name: 'w', dataType: 'float32', dims: [4], data: small }],
        ['large', { name: 'large', dataType: 'float32', dims: [150, 4], data }],
      ]),
      nodes: [
        { op: 'Add', name: 'first', inputs: ['x', 'w'], outputs: ['z'], attributes: {} },
        { op: 'Add', name: 'second', inputs: ['z', 'large'], outputs: ['y'], attributes: {} },
      ],
    });
  };

  it('are referred to at their place, small ones copied', async () => {
    const model = bytes();
    const { initializers } = await readOnnxInPlace(fileOf(model), 'net.onnx');
    const large = initializers.get('large')!.data;
    if (large.kind !== 'external') throw new Error('copied');
    expect(large).toMatchObject({ file: 'net.onnx', length: 2400 });
    expect(model.slice(large.offset, large.offset + large.length)).toEqual(weight);
    expect(initializers.get('w')!.data).toEqual({ kind: 'inline', bytes: floats(1, 2, 3, 4) });
    expect(readOnnx(model).initializers.get('large')!.data.kind).toBe('inline');
  });

  it('are what onnxruntime computes with', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'fullconv-onnx-'));
    try {
      const model = bytes();
      await writeFile(join(folder, 'net.onnx'), model);
      const feeds = { x: { dims: [1, 4], data: Float32Array.of(10, 20, 30, 40) } };
      const inPlace = await runGraph(await readOnnxInPlace(fileOf(model), 'net.onnx'), feeds, { folder });
      expect(inPlace).toEqual(await runGraph(readOnnx(model), feeds));
      expect(inPlace['y']!.data[0]).toBeCloseTo(11 + values[0]!, 5);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it.each(['float32', 'float16'] as const)('are transposed by onnxruntime, not by us: %s', async (storedAs) => {
    const folder = await mkdtemp(join(tmpdir(), 'fullconv-onnx-'));
    try {
      const half = storedAs === 'float16';
      const numbers = [1, 2, 3, 4, 5, 6];
      const stored = half ? new Uint8Array(Uint16Array.from(numbers, halfBits).buffer) : floats(...numbers);
      await writeFile(join(folder, 'w.bin'), stored);
      const b = graphBuilder({ name: 'product' });
      b.node('MatMul', [b.input('x', 'float32', ['N', 3]), b.parameter('w', [2, 3])], { name: 'y' });
      b.constant('unused', 'float32', [1], [0]);
      const built = b.finish([{ name: 'y', dataType: 'float32', dims: ['N', 2] }]);
      const data = { kind: 'external', file: 'w.bin', offset: 0, length: stored.length } as const;
      const weight = {
        name: 'w',
        dataType: 'float32',
        dims: [2, 3],
        data: half ? { ...data, storedAs } : data,
      } as const;
      const transposed = transposeWeight(weight, [2, 3], [1, 0])!;
      expect(transposed.dims).toEqual([3, 2]);
      const graph = { ...built, initializers: new Map([...built.initializers, ['w', transposed]]) };
      const { y } = await runGraph(graph, { x: { dims: [1, 3], data: Float32Array.of(1, 10, 100) } }, { folder });
      expect(y!.data).toEqual(Float32Array.of(321, 654));
      expect(transposeWeight(transposed, [3, 2], [1, 0])).toBeUndefined();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('halfBits', () => {
  it.each([
    [1, 0x3c00],
    [-2, 0xc000],
    [6, 0x4600],
    [65504, 0x7bff],
    [1e6, 0x7c00],
    [-Infinity, 0xfc00],
    [2 ** -24, 1],
    [2 ** -14, 0x400],
    [0, 0],
    [-0, 0x8000],
    [2047.6, 0x6800],
  ])('writes %d as float16', (value, bits) => {
    expect(halfBits(value)).toBe(bits);
    const [back] = halfValues(Uint8Array.of(bits & 255, bits >> 8));
    if (Math.fround(value) === value && Math.abs(value) < 65505) expect(back).toBe(value);
  });
});

describe('readOnnx', () => {
  it.each<[string, TensorInit, Initializer['dataType'], Uint8Array]>([
    ['raw float32', { dims: [2n], dataType: Type.FLOAT, rawData: floats(1, 2) }, 'float32', floats(1, 2)],
    ['float_data', { dims: [2n], dataType: Type.FLOAT, floatData: [1, 2] }, 'float32', floats(1, 2)],
    [
      'double_data',
      { dims: [1n], dataType: Type.DOUBLE, doubleData: [1.5] },
      'float64',
      new Uint8Array(Float64Array.of(1.5).buffer),
    ],
    [
      'int64_data',
      { dims: [1n], dataType: Type.INT64, int64Data: [-2n] },
      'int64',
      new Uint8Array(BigInt64Array.of(-2n).buffer),
    ],
    [
      'int32_data',
      { dims: [1n], dataType: Type.INT32, int32Data: [-2] },
      'int32',
      new Uint8Array(Int32Array.of(-2).buffer),
    ],
    [
      'float16 in int32_data',
      { dims: [1n], dataType: Type.FLOAT16, int32Data: [0x3c00] },
      'float16',
      Uint8Array.of(0, 0x3c),
    ],
    ['int8 in int32_data', { dims: [2n], dataType: Type.INT8, int32Data: [-1, 7] }, 'int8', Uint8Array.of(255, 7)],
    ['uint8 in int32_data', { dims: [1n], dataType: Type.UINT8, int32Data: [200] }, 'uint8', Uint8Array.of(200)],
    ['bool in int32_data', { dims: [1n], dataType: Type.BOOL, int32Data: [1] }, 'bool', Uint8Array.of(1)],
    ['an empty tensor', { dims: [0n], dataType: Type.INT64 }, 'int64', new Uint8Array()],
    ['a scalar', { dims: [], dataType: Type.FLOAT, floatData: [3] }, 'float32', floats(3)],
  ])('reads %s', (_, init, dataType, bytes) => {
    expect(read(init)).toMatchObject({ dataType, data: { kind: 'inline', bytes } });
  });

  it('reads external data, with and without offset and length', () => {
    const data = { kind: 'external', file: 'a/w.bin', offset: 0, length: 8 };
    expect(read(external({ location: 'a/w.bin' })).data).toEqual(data);
    expect(read(external({ location: 'a/w.bin', offset: '16', length: '8' })).data).toEqual({ ...data, offset: 16 });
  });

  it('copies small tensors also out of a Buffer', () => {
    const bytes = Buffer.from(tensor({ dims: [2n], dataType: Type.FLOAT, rawData: floats(1, 2) }));
    const { data } = readOnnx(bytes).initializers.get('w')!;
    bytes.fill(0);
    expect(data).toEqual({ kind: 'inline', bytes: floats(1, 2) });
    expect(data.kind === 'inline' && data.bytes.buffer.byteLength).toBe(8);
  });

  it('names nodes that have no name, and drops inputs that are initializers', () => {
    const graph = readOnnx(
      model({
        input: [value('x'), value('w')],
        node: [
          { opType: 'Relu', input: ['x'], output: ['z'] },
          { opType: 'Add', domain: 'ai.onnx', input: ['z', 'w'], output: ['y'] },
        ],
        initializer: [{ name: 'w', dims: [1n], dataType: Type.FLOAT, floatData: [1] }],
      }),
    );
    expect(graph.nodes.map(({ name }) => name)).toEqual(['Relu_0', 'Add_1']);
    expect(graph.inputs.map(({ name }) => name)).toEqual(['x']);
  });

  it('keeps a Cast that is not a stored weight', () => {
    const builder = graphBuilder({ name: 'cast' });
    const half = builder.node('Cast', [builder.input('x', 'float32', ['N'])], {
      name: 'y',
      attributes: { to: int(Type.FLOAT16) },
    });
    const graph = builder.finish([{ name: half, dataType: 'float16', dims: ['N'] }]);
    expect(readOnnx(writeOnnx(graph)).nodes).toHaveLength(1);
  });

  const subgraph = { name: 'body', type: AttributeType.GRAPH, g: { name: 'inner' } };
  const node = { opType: 'Identity', name: 'copy', input: ['x'], output: ['y'] };

  it.each<[string, Uint8Array, RegExp]>([
    ['text', new TextEncoder().encode('{"not": "onnx"}'), /not an ONNX model/],
    ['no bytes', new Uint8Array(), /not an ONNX model: it has no graph/],
    ['a truncated file', model().subarray(0, -4), /not an ONNX model/],
    [
      'an unknown domain',
      model({ node: [{ ...node, domain: 'com.example' }] }),
      /node "copy" \(Identity\).*"com.example"/,
    ],
    ['a subgraph', model({ node: [{ ...node, attribute: [subgraph] }] }), /node "copy".*"body" is a subgraph/],
    [
      'an attribute given twice',
      model({ node: [{ ...node, attribute: [subgraph, subgraph].map((a) => ({ ...a, type: AttributeType.INT })) }] }),
      /"body" is given twice/,
    ],
    ['no operator set', model({}, { opsetImport: [] }), /import the default operator set once, imports it 0 times/],
    ['an ancient version', model({}, { irVersion: 2n }), /IR version 2/],
    ['an input that is not a tensor', model({ input: [{ name: 'x' }] }), /value "x": is not a tensor/],
    ['a cycle', model({ node: [{ ...node, input: ['y'] }] }), /cycle/],
    ['an undefined value', model({ node: [{ ...node, input: ['q'] }] }), /"q", which is not defined/],
    [
      'a data type that graphs do not have',
      tensor({ dims: [1n], dataType: Type.BFLOAT16, rawData: floats(1) }),
      /tensor "w": data type BFLOAT16/,
    ],
    [
      'too little raw data',
      tensor({ dims: [3n], dataType: Type.FLOAT, rawData: floats(1, 2) }),
      /tensor "w": 8 bytes.*\[3\] float32 takes 12/,
    ],
    ['too few values', tensor({ dims: [3n], dataType: Type.FLOAT, floatData: [1] }), /tensor "w": 1 values.*take 3/],
    [
      'raw and typed data at once',
      tensor({ dims: [1n], dataType: Type.FLOAT, floatData: [1], rawData: floats(1) }),
      /given twice/,
    ],
    [
      'a value that does not fit its type',
      tensor({ dims: [1n], dataType: Type.UINT8, int32Data: [256] }),
      /outside of uint8/,
    ],
    ['a negative dimension', tensor({ dims: [-1n], dataType: Type.FLOAT }), /\[-1\] are not sizes/],
    ['absurd dimensions', tensor({ dims: [2n ** 60n, 2n ** 60n], dataType: Type.FLOAT }), /too large/],
    [
      'external data outside of the folder',
      tensor(external({ location: '../etc/passwd' })),
      /"..\/etc\/passwd".*not a file below/,
    ],
    ['an absolute location', tensor(external({ location: '/etc/passwd' })), /not a file below/],
    ['external data without a location', tensor(external({ offset: '0' })), /location ""/],
    ['an offset that is not a number', tensor(external({ location: 'w', offset: '-4' })), /offset "-4"/],
    ['external data of a wrong length', tensor(external({ location: 'w', length: '9' })), /9 bytes of data.*takes 8/],
    [
      'two tensors of one name',
      model({ initializer: [1, 2].map((n) => ({ name: 'w', dims: [1n], dataType: Type.FLOAT, floatData: [n] })) }),
      /"w" is defined twice/,
    ],
  ])('rejects %s', (_, bytes, message) => {
    expect(() => readOnnx(bytes)).toThrow(GraphError);
    expect(() => readOnnx(bytes)).toThrow(message);
  });

  it('rejects subgraphs nested without end', () => {
    // ModelProto.graph = 7, GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6; all length-delimited.
    const levels = 30_000;
    const bytes = new Uint8Array(levels * 15 + 8);
    let start = bytes.length;
    const wrap = (field: number): void => {
      const header = [field * 8 + 2];
      let length = bytes.length - start;
      for (; length > 127; length >>>= 7) header.push((length & 127) | 128);
      header.push(length);
      start -= header.length;
      bytes.set(header, start);
    };
    for (let level = 0; level < levels; level += 1) for (const field of [6, 5, 1]) wrap(field);
    wrap(7);
    expect(() => readOnnx(bytes.subarray(start))).toThrow(GraphError);
  });

  it('throws nothing but GraphError whatever byte of a model is damaged', () => {
    const bytes = writeOnnx(withGeneratedWeights(sumWithExternal({ kind: 'unbound' })));
    for (let i = 0; i < bytes.length; i += 1) {
      for (const damage of [0x00, 0x7f, 0x80, 0xff]) {
        try {
          readOnnx(bytes.with(i, damage));
        } catch (error) {
          expect(error).toBeInstanceOf(GraphError);
        }
      }
    }
  });
});
