/**
 * Tiny classifiers as exporters write them: one trunk, every form of head, in the opsets that write it differently.
 * Weights are generated, and inline.
 */
import { float, int, ints } from '../../src/graph/attributes.js';
import { graphBuilder, type GraphBuilder } from '../../src/graph/build.js';
import type { Attribute, Dim, Graph } from '../../src/graph/graph.js';
import { withGeneratedWeights } from './ort.js';

export const TINY = { size: 16, classes: 5 } as const;
/** Channels and side of the trunk's map at the native size. */
const [CHANNELS, SIDE] = [6, 4];

/** The opsets in which an operator changed its form, and the newest that onnxruntime-node 1.30 runs. */
export const OPSETS = [7, 11, 13, 18, 26] as const;

export interface Head {
  readonly name: string;
  readonly kind: 'pooled' | 'windowed';
  /** Adds the head to the trunk's map [N, 6, 4, 4]. Returns the name of the output. */
  readonly build: (tools: HeadTools, map: string) => string;
  /** The output's dimensions behind the batch. Default: [5]. */
  readonly dims?: readonly number[];
}

interface HeadTools {
  readonly b: GraphBuilder;
  readonly opset: number;
  /** A node whose axes are an attribute before opset `since` and an input from then on. */
  withAxes(op: string, x: string, axes: readonly number[], since: number, rest?: Record<string, Attribute>): string;
  gemm(x: string, name: string, inputs: number, outputs: number, transposed?: boolean): string;
  matMulAdd(x: string, name: string, inputs: number, outputs: number): string;
  reshape(x: string, target: readonly number[]): string;
}

function toolsFor(b: GraphBuilder, opset: number): HeadTools {
  return {
    b,
    opset,
    withAxes(op, x, axes, since, rest = {}) {
      if (opset < since) return b.node(op, [x], { attributes: { ...rest, axes: ints(...axes) } });
      return b.node(op, [x, b.constant(`${op}.axes`, 'int64', [axes.length], axes)], { attributes: rest });
    },
    gemm(x, name, inputs, outputs, transposed = true) {
      const weight = b.parameter(`${name}.weight`, transposed ? [outputs, inputs] : [inputs, outputs]);
      const attributes = transposed ? { transB: int(1) } : {};
      return b.node('Gemm', [x, weight, b.parameter(`${name}.bias`, [outputs])], { name, attributes });
    },
    matMulAdd(x, name, inputs, outputs) {
      const product = b.node('MatMul', [x, b.parameter(`${name}.weight`, [inputs, outputs])], { name });
      return b.node('Add', [product, b.parameter(`${name}.bias`, [outputs])]);
    },
    reshape: (x, target) => b.node('Reshape', [x, b.constant('target', 'int64', [target.length], target)]),
  };
}

const { classes: K } = TINY;
const FEATURES = CHANNELS * SIDE * SIDE;
const conv = ({ b }: HeadTools, x: string, outputs = K): string =>
  b.node('Conv', [x, b.parameter('score.weight', [outputs, CHANNELS, 1, 1]), b.parameter('score.bias', [outputs])]);

export const HEADS: readonly Head[] = [
  {
    name: 'Flatten → Gemm → ReLU → Dropout → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const hidden = tools.gemm(tools.b.node('Flatten', [map]), 'fc1', FEATURES, 7);
      return tools.gemm(tools.b.node('Dropout', [tools.b.node('Relu', [hidden])]), 'fc2', 7, K);
    },
  },
  {
    name: 'Flatten → Gemm → BatchNormalization → ReLU → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const { b } = tools;
      const hidden = tools.gemm(b.node('Flatten', [map]), 'fc1', FEATURES, 7);
      const statistics = ['weight', 'bias', 'running_mean', 'running_var'].map((name) =>
        b.parameter(`bn.${name}`, [7]),
      );
      return tools.gemm(b.node('Relu', [b.node('BatchNormalization', [hidden, ...statistics])]), 'fc2', 7, K);
    },
  },
  {
    name: 'Reshape [1, -1] → Gemm with the weight the other way round',
    kind: 'windowed',
    build: (tools, map) => tools.gemm(tools.reshape(map, [1, -1]), 'fc', FEATURES, K, false),
  },
  {
    name: 'Reshape to constants → MatMul → Add',
    kind: 'windowed',
    build: (tools, map) => tools.matMulAdd(tools.reshape(map, [1, FEATURES]), 'fc', FEATURES, K),
  },
  {
    name: 'Transpose to channels last → Reshape → MatMul → Add → ReLU → MatMul → Add',
    kind: 'windowed',
    build(tools, map) {
      const last = tools.b.node('Transpose', [map], { attributes: { perm: ints(0, 2, 3, 1) } });
      const hidden = tools.matMulAdd(tools.reshape(last, [-1, FEATURES]), 'fc1', FEATURES, 7);
      return tools.matMulAdd(tools.b.node('Relu', [hidden]), 'fc2', 7, K);
    },
  },
  {
    name: 'GlobalAveragePool → Reshape by the shape → Gemm',
    kind: 'pooled',
    build(tools, map) {
      const { b } = tools;
      const pooled = b.node('GlobalAveragePool', [map]);
      const batch = b.node('Gather', [b.node('Shape', [pooled]), b.constant('zero', 'int64', [1], [0])], {
        attributes: { axis: int(0) },
      });
      const target = b.node('Concat', [batch, b.constant('rest', 'int64', [1], [-1])], {
        attributes: { axis: int(0) },
      });
      return tools.gemm(b.node('Reshape', [pooled, target]), 'fc', CHANNELS, K);
    },
  },
  {
    name: 'GlobalAveragePool → Squeeze → MatMul → Add → Softmax',
    kind: 'pooled',
    build(tools, map) {
      const flat = tools.withAxes('Squeeze', tools.b.node('GlobalAveragePool', [map]), [2, 3], 13);
      const logits = tools.matMulAdd(flat, 'fc', CHANNELS, K);
      return tools.b.node('Softmax', [logits], { attributes: { axis: int(1) } });
    },
  },
  {
    name: 'ReduceMean → Gemm',
    kind: 'pooled',
    build: (tools, map) =>
      tools.gemm(tools.withAxes('ReduceMean', map, [2, 3], 18, { keepdims: int(0) }), 'fc', CHANNELS, K),
  },
  {
    name: 'Transpose to channels last → ReduceMean → MatMul → Add',
    kind: 'pooled',
    build(tools, map) {
      const last = tools.b.node('Transpose', [map], { attributes: { perm: ints(0, 2, 3, 1) } });
      return tools.matMulAdd(tools.withAxes('ReduceMean', last, [1, 2], 18, { keepdims: int(0) }), 'fc', CHANNELS, K);
    },
  },
  {
    name: 'AveragePool over the whole map → Flatten → Identity → Gemm',
    kind: 'pooled',
    build(tools, map) {
      const pooled = tools.b.node('AveragePool', [map], { attributes: { kernel_shape: ints(SIDE, SIDE) } });
      return tools.gemm(tools.b.node('Identity', [tools.b.node('Flatten', [pooled])]), 'fc', CHANNELS, K);
    },
  },
  {
    name: 'Dropout → Conv → ReLU → GlobalAveragePool → Softmax',
    kind: 'pooled',
    build(tools, map) {
      const { b } = tools;
      const scores = b.node('Relu', [conv(tools, b.node('Dropout', [map], { attributes: { ...ratio(tools) } }))]);
      const pooled = b.node('GlobalAveragePool', [scores]);
      // Over the flattened rest before opset 13, over one axis from then on.
      return b.node('Softmax', [pooled], { attributes: { axis: int(1) } });
    },
    dims: [K, 1, 1],
  },
  {
    name: 'Conv → AveragePool over the whole map → Reshape',
    kind: 'pooled',
    build(tools, map) {
      const attributes = { kernel_shape: ints(SIDE, SIDE) };
      return tools.reshape(tools.b.node('AveragePool', [conv(tools, map)], { attributes }), [1, K]);
    },
  },
  {
    name: 'GlobalAveragePool → Flatten → Gemm → ReLU → Dropout → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const flat = tools.b.node('Flatten', [tools.b.node('GlobalAveragePool', [map])]);
      const hidden = tools.b.node('Relu', [tools.gemm(flat, 'fc1', CHANNELS, 7)]);
      return tools.gemm(tools.b.node('Dropout', [hidden]), 'fc2', 7, K);
    },
  },
  {
    name: 'GlobalAveragePool → Conv 1×1 → ReLU → Flatten → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const { b } = tools;
      const weights = [b.parameter('hidden.weight', [7, CHANNELS, 1, 1]), b.parameter('hidden.bias', [7])];
      const hidden = b.node('Conv', [b.node('GlobalAveragePool', [map]), ...weights]);
      return tools.gemm(b.node('Flatten', [b.node('Relu', [hidden])]), 'fc', 7, K);
    },
  },
  {
    name: 'GlobalMaxPool → Flatten → Gemm',
    kind: 'windowed',
    build: (tools, map) =>
      tools.gemm(tools.b.node('Flatten', [tools.b.node('GlobalMaxPool', [map])]), 'fc', CHANNELS, K),
  },
  {
    name: 'GlobalAveragePool → Conv 1×1 → Flatten',
    kind: 'pooled',
    build: (tools, map) => tools.b.node('Flatten', [conv(tools, tools.b.node('GlobalAveragePool', [map]))]),
  },
  {
    name: 'GlobalAveragePool → Flatten → BatchNormalization → Gemm → Div by a temperature',
    kind: 'pooled',
    build(tools, map) {
      const { b } = tools;
      const flat = b.node('Flatten', [b.node('GlobalAveragePool', [map])]);
      const logits = tools.gemm(batchNorm(tools, flat, CHANNELS), 'fc', CHANNELS, K);
      return b.node('Div', [logits, b.constant('temperature', 'float32', [], [1.5])]);
    },
  },
  {
    name: 'Flatten → Gemm → ReLU → Mul → Add → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const { b } = tools;
      const hidden = b.node('Relu', [tools.gemm(b.node('Flatten', [map]), 'fc1', FEATURES, 7)]);
      const scaled = b.node('Mul', [hidden, b.parameter('scale', [7])]);
      return tools.gemm(b.node('Add', [scaled, b.parameter('shift', [1, 7])]), 'fc2', 7, K);
    },
  },
  {
    name: 'GlobalMaxPool and GlobalAveragePool → Concat → Flatten → BatchNormalization → ReLU → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const { b } = tools;
      const pools = ['GlobalMaxPool', 'GlobalAveragePool'].map((op) => b.node(op, [map]));
      const joined = b.node('Flatten', [b.node('Concat', pools, { attributes: { axis: int(1) } })]);
      return tools.gemm(b.node('Relu', [batchNorm(tools, joined, 2 * CHANNELS)]), 'fc', 2 * CHANNELS, K);
    },
  },
  {
    name: 'MaxPool over the whole map → Flatten → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const attributes = { kernel_shape: ints(SIDE, SIDE) };
      return tools.gemm(tools.b.node('Flatten', [tools.b.node('MaxPool', [map], { attributes })]), 'fc', CHANNELS, K);
    },
  },
  {
    name: 'GlobalAveragePool and MaxPool over the whole map → Concat → Flatten → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const { b } = tools;
      const attributes = { kernel_shape: ints(SIDE, SIDE) };
      const pools = [b.node('GlobalAveragePool', [map]), b.node('MaxPool', [map], { attributes })];
      const joined = b.node('Concat', pools, { attributes: { axis: int(1) } });
      return tools.gemm(b.node('Flatten', [joined]), 'fc', 2 * CHANNELS, K);
    },
  },
  {
    name: 'GlobalAveragePool → Transpose to channels last → Mul → Flatten → Gemm',
    kind: 'pooled',
    build(tools, map) {
      const { b } = tools;
      const pooled = b.node('GlobalAveragePool', [map]);
      const last = b.node('Transpose', [pooled], { attributes: { perm: ints(0, 2, 3, 1) } });
      const scaled = b.node('Mul', [last, b.parameter('scale', [CHANNELS])]);
      return tools.gemm(b.node('Flatten', [scaled]), 'fc', CHANNELS, K);
    },
  },
  {
    name: 'ReduceMax → Gemm',
    kind: 'windowed',
    build: (tools, map) =>
      tools.gemm(tools.withAxes('ReduceMax', map, [2, 3], 18, { keepdims: int(0) }), 'fc', CHANNELS, K),
  },
  {
    name: 'GlobalAveragePool → Flatten → normalization over the channels, written out → Gemm',
    kind: 'windowed',
    build(tools, map) {
      const { b } = tools;
      const mean = (x: string): string => tools.withAxes('ReduceMean', x, [-1], 18, { keepdims: int(1) });
      const flat = b.node('Flatten', [b.node('GlobalAveragePool', [map])]);
      const centred = b.node('Sub', [flat, mean(flat)]);
      const variance = mean(b.node('Mul', [centred, centred]));
      const deviation = b.node('Sqrt', [b.node('Add', [variance, b.constant('epsilon', 'float32', [], [1e-5])])]);
      const scaled = b.node('Mul', [b.node('Div', [centred, deviation]), b.parameter('scale', [CHANNELS])]);
      return tools.gemm(b.node('Add', [scaled, b.parameter('shift', [CHANNELS])]), 'fc', CHANNELS, K);
    },
  },
];

function batchNorm({ b }: HeadTools, x: string, channels: number): string {
  const statistics = ['weight', 'bias', 'running_mean', 'running_var'];
  return b.node('BatchNormalization', [x, ...statistics.map((name) => b.parameter(`bn.${name}`, [channels]))]);
}

/** Dropout's ratio is an attribute before opset 12. */
function ratio({ opset }: HeadTools): Record<string, Attribute> {
  return opset < 12 ? { ratio: float(0.5) } : {};
}

export interface ClassifierOptions {
  readonly opset?: number;
  /** As exported: one image of the native size. `free`: symbolic batch, height and width. */
  readonly sizes?: 'fixed' | 'free';
}

/** A net `x` [1, 3, 16, 16] → `y`: two convolutions, squeeze and excitation, ReLU6, and the head. */
export function tinyClassifier(head: Head, { opset = 13, sizes = 'fixed' }: ClassifierOptions = {}): Graph {
  const b = graphBuilder({ name: 'tiny' });
  const tools = toolsFor(b, opset);
  const dims: Dim[] = sizes === 'fixed' ? [1, 3, TINY.size, TINY.size] : ['B', 3, 'height', 'width'];
  const x = b.input('x', 'float32', dims);
  const convolve = (from: string, name: string, shape: readonly number[], pad: number, stride: number): string => {
    const attributes = { pads: ints(pad, pad, pad, pad), strides: ints(stride, stride) };
    return b.node('Conv', [from, b.parameter(`${name}.weight`, shape), b.parameter(`${name}.bias`, [shape[0]!])], {
      attributes,
    });
  };
  const stem = b.node('Relu', [convolve(x, 'stem', [CHANNELS, 3, 3, 3], 1, 2)]);
  const squeezed = convolve(b.node('GlobalAveragePool', [stem]), 'squeeze', [2, CHANNELS, 1, 1], 0, 1);
  const excited = convolve(b.node('Relu', [squeezed]), 'excite', [CHANNELS, 2, 1, 1], 0, 1);
  const scaled = b.node('Mul', [stem, b.node('Sigmoid', [excited])]);
  const body = convolve(scaled, 'body', [CHANNELS, CHANNELS, 3, 3], 1, 2);
  const clipped =
    opset < 11
      ? b.node('Clip', [body], { attributes: { min: float(0), max: float(6) } })
      : b.node('Clip', [body, b.constant('low', 'float32', [], [0]), b.constant('high', 'float32', [], [6])]);
  const y = head.build(tools, clipped);
  const output = { name: y, dataType: 'float32', dims: [dims[0]!, ...(head.dims ?? [K])] } as const;
  return { ...withGeneratedWeights(b.finish([output])), opset };
}

/** A softmax over groups of channels within the head: over a map it would run over other axes. */
export const HIDDEN_BEHIND_POOLING: Head = {
  name: 'GlobalAveragePool → Flatten → Gemm → Reshape to groups → Softmax → Reshape → Gemm',
  kind: 'pooled',
  build(tools, map) {
    const flat = tools.b.node('Flatten', [tools.b.node('GlobalAveragePool', [map])]);
    const groups = tools.reshape(tools.gemm(flat, 'fc1', CHANNELS, 8), [-1, 2, 4]);
    const softmax = tools.b.node('Softmax', [groups], { attributes: { axis: int(2) } });
    return tools.gemm(tools.reshape(softmax, [-1, 8]), 'fc2', 8, K);
  },
};

/** A head that bakes its size into the middle of the net, so that it takes no other. */
export const BOUND_TO_ITS_SIZE: Head = {
  name: 'Reshape [1, 6, 16] → MatMul → Reshape → Gemm',
  kind: 'windowed',
  build(tools, map) {
    const tokens = tools.reshape(map, [1, CHANNELS, SIDE * SIDE]);
    const mixed = tools.b.node('MatMul', [tokens, tools.b.parameter('mix.weight', [SIDE * SIDE, 3])]);
    return tools.gemm(tools.b.node('Relu', [tools.reshape(mixed, [1, CHANNELS * 3])]), 'fc', CHANNELS * 3, K);
  },
};

/**
 * A head that joins the map with a constant of one image, as a transformer's class token is. It takes no other batch.
 */
export const BOUND_TO_ONE_IMAGE: Head = {
  name: 'Reshape [1, 6, 16] → Concat with a token → ReduceMean → Gemm',
  kind: 'windowed',
  build(tools, map) {
    const tokens = tools.reshape(map, [1, CHANNELS, SIDE * SIDE]);
    const joined = tools.b.node('Concat', [tokens, tools.b.parameter('token', [1, CHANNELS, 1])], {
      attributes: { axis: int(2) },
    });
    return tools.gemm(tools.withAxes('ReduceMean', joined, [2], 18, { keepdims: int(0) }), 'fc', CHANNELS, K);
  },
};
