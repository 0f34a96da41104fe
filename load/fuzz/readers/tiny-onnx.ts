/** Tiny classifiers as ONNX files. */
import { int, ints } from '../../../src/graph/attributes.js';
import { graphBuilder } from '../../../src/graph/build.js';
import type { Graph, Initializer } from '../../../src/graph/graph.js';
import { writeOnnx } from '../../../src/graph/onnx/model.js';
import { generatedValues } from '../../../src/models/networks/generated-weights.js';

/** Side of the images, and the number of classes. */
export const TINY = { size: 16, classes: 10 } as const;

const { size: SIZE, classes: CLASSES } = TINY;

/** Words of the format. */
export const OPERATORS = [
  ...['Conv', 'Gemm', 'MatMul', 'Relu', 'Add', 'Mul', 'Reshape', 'Flatten', 'Concat', 'Cast', 'Shape', 'Gather', 'Pad'],
  ...[
    'Transpose',
    'Squeeze',
    'ReduceMean',
    'MaxPool',
    'Dropout',
    'Identity',
    'Constant',
    'Softmax',
    'DequantizeLinear',
  ],
  ...['pads', 'strides', 'dilations', 'group', 'axis', 'axes', 'perm', 'auto_pad', 'SAME_UPPER', 'location', 'offset'],
];

/** Convolution, activation and one of two heads, with weights inside. */
function tinyGraph(head: 'pooled' | 'windowed'): Graph {
  const b = graphBuilder({ name: 'tiny' });
  const image = b.input('image', 'float32', ['N', 3, SIZE, SIZE]);
  const conv = b.node('Conv', [image, b.parameter('conv.weight', [4, 3, 3, 3]), b.parameter('conv.bias', [4])], {
    attributes: { strides: ints(2, 2), pads: ints(1, 1, 1, 1) },
  });
  const statistics = ['weight', 'bias', 'running_mean', 'running_var'].map((name) => b.parameter(`bn.${name}`, [4]));
  const map = b.node('Relu', [b.node('BatchNormalization', [conv, ...statistics])]);
  const gemm = (x: string, name: string, from: number, to: number): string =>
    b.node('Gemm', [x, b.parameter(`${name}.weight`, [to, from]), b.parameter(`${name}.bias`, [to])], {
      attributes: { transB: int(1) },
    });
  const logits =
    head === 'pooled'
      ? gemm(b.node('Flatten', [b.node('GlobalAveragePool', [map])]), 'fc', 4, CLASSES)
      : gemm(b.node('Relu', [gemm(b.node('Flatten', [map]), 'fc1', 4 * 64, 7)]), 'fc2', 7, CLASSES);
  return b.finish([{ name: logits, dataType: 'float32', dims: ['N', CLASSES] }]);
}

/** With weights as bytes of the file, or of a file beside it. */
function bound(graph: Graph, file?: string): { readonly graph: Graph; readonly weights: Buffer } {
  const pieces: Buffer[] = [];
  let offset = 0;
  const initializers = [...graph.initializers.values()].map((initializer): [string, Initializer] => {
    const { name, dims, data } = initializer;
    if (data.kind !== 'unbound') return [name, initializer];
    const bytes = Buffer.from(generatedValues(name, dims).buffer);
    if (file === undefined) return [name, { ...initializer, data: { kind: 'inline', bytes } }];
    pieces.push(bytes);
    offset += bytes.length;
    return [
      name,
      { ...initializer, data: { kind: 'external', file, offset: offset - bytes.length, length: bytes.length } },
    ];
  });
  return { graph: { ...graph, initializers: new Map(initializers) }, weights: Buffer.concat(pieces) };
}

/** Files that hold their weights. */
export const inlineFiles = (): Buffer[] =>
  (['pooled', 'windowed'] as const).map((head) => Buffer.from(writeOnnx(bound(tinyGraph(head)).graph)));

/** A file whose weights lie in another one. */
export function externalFile(weightsName: string): { readonly bytes: Buffer; readonly weights: Buffer } {
  const { graph, weights } = bound(tinyGraph('windowed'), weightsName);
  return { bytes: Buffer.from(writeOnnx(graph)), weights };
}
