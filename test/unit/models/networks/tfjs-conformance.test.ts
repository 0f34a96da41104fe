/** Imported LayersModels compute what TensorFlow.js computes with them: layer by layer, and as small nets of each family. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Graph } from '../../../../src/graph/graph.js';
import type { Network } from '../../../../src/models/networks/network.js';
import { loadTfjsLayers } from '../../../../src/models/networks/tfjs-network.js';
import { crop, expectClose, randomTensor, runGraph, spatialMean, type Value } from '../../../support/ort.js';
import {
  layersModelOf,
  predict,
  save,
  tfl,
  withGeneratedWeights,
  writeTfjsModel,
  type LayersModel,
  type SaveOptions,
  type SymbolicTensor,
} from '../../../support/tfjs.js';

const { layers } = tfl;
const CLASSES = 5;
/** Odd, so that `same` padding differs before and behind. */
const SIZE = 13;

let root: string;
let models = 0;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fullconv-tfjs-'));
});
afterAll(() => rm(root, { recursive: true }));

async function imported(model: LayersModel, size: number, options: SaveOptions = {}): Promise<Network> {
  const saved = await save(model, options);
  const content = await writeTfjsModel(join(root, `model-${(models += 1)}`), saved, { size, classes: CLASSES });
  return loadTfjsLayers(content, join(root, 'cache'));
}

async function run(graph: Graph, x: Value, { weightsFolder }: Network): Promise<Value> {
  const outputs = await runGraph(graph, { [graph.inputs[0]!.name]: x }, { folder: weightsFolder });
  return Object.values(outputs)[0]!;
}

function denseOf({ dense }: Network): Graph {
  if (!('graph' in dense)) throw new Error(dense.unavailable);
  return dense.graph;
}

type Layer = InstanceType<typeof layers.Layer>;
const chain = (x: SymbolicTensor, ...steps: Layer[]): SymbolicTensor =>
  steps.reduce((y, step) => step.apply(y) as SymbolicTensor, x);
const image = (height = SIZE, width = height): SymbolicTensor => tfl.input({ shape: [height, width, 3] });
const modelOf = (input: SymbolicTensor, output: SymbolicTensor): LayersModel =>
  withGeneratedWeights(tfl.model({ inputs: input, outputs: output }));
const dense = (): Layer => layers.dense({ units: CLASSES });
const conv = (filters: number, kernelSize: number, rest: object = {}): Layer =>
  layers.conv2d({ filters, kernelSize, padding: 'same', ...rest });

/** A layer's effect everywhere on a map: every place has weights of its own. */
function around(make: (x: SymbolicTensor) => SymbolicTensor): LayersModel {
  const input = image();
  const made = make(chain(input, conv(6, 3)));
  return modelOf(input, chain(made, ...(made.rank === 2 ? [] : [layers.flatten()]), dense()));
}

const step = (layer: Layer) => (x: SymbolicTensor) => chain(x, layer);
const branches = (join: Layer) => (x: SymbolicTensor) =>
  join.apply([x, chain(x, conv(6, 3)), chain(x, conv(6, 1))].slice(0, 3)) as SymbolicTensor;

const LAYERS: [string, (x: SymbolicTensor) => SymbolicTensor][] = [
  ['Conv2D of stride 2, same', step(conv(4, 3, { strides: 2 }))],
  ['Conv2D of stride 2 with an even kernel, same', step(conv(4, 4, { strides: 2 }))],
  ['Conv2D of stride 3, valid', step(conv(4, 5, { strides: 3, padding: 'valid' }))],
  [
    'Conv2D of an oblong kernel without a bias',
    step(layers.conv2d({ filters: 4, kernelSize: [1, 4], padding: 'same', useBias: false })),
  ],
  ['Conv2D, dilated, same', step(conv(4, 3, { dilationRate: 2 }))],
  ['Conv2D, dilated, valid', step(conv(4, 3, { dilationRate: [2, 3], padding: 'valid' }))],
  ['DepthwiseConv2D', step(layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', strides: 2 }))],
  [
    'DepthwiseConv2D with a multiplier',
    step(layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 3, useBias: false })),
  ],
  ['SeparableConv2D', step(layers.separableConv2d({ filters: 5, kernelSize: 3, padding: 'same', depthMultiplier: 2 }))],
  ['Dense on a map', step(layers.dense({ units: 4, activation: 'relu' }))],
  ['BatchNormalization', step(layers.batchNormalization({ epsilon: 0.01 }))],
  ['BatchNormalization without scale', step(layers.batchNormalization({ scale: false }))],
  ['BatchNormalization without center', step(layers.batchNormalization({ center: false, axis: 3 }))],
  ['MaxPooling2D', step(layers.maxPooling2d({ poolSize: 2 }))],
  ['MaxPooling2D, same', step(layers.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' }))],
  ['MaxPooling2D of stride 1, same', step(layers.maxPooling2d({ poolSize: 2, strides: 1, padding: 'same' }))],
  ['AveragePooling2D', step(layers.averagePooling2d({ poolSize: [3, 2], strides: 2 }))],
  ['AveragePooling2D, same', step(layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' }))],
  ['AveragePooling2D of stride 1, same', step(layers.averagePooling2d({ poolSize: 4, strides: 1, padding: 'same' }))],
  ['GlobalAveragePooling2D', step(layers.globalAveragePooling2d({}))],
  ['GlobalMaxPooling2D', step(layers.globalMaxPooling2d({}))],
  ['Flatten', step(layers.flatten())],
  ['Reshape of a map', step(layers.reshape({ targetShape: [39, 26] }))],
  ['Reshape of a map to another map', step(layers.reshape({ targetShape: [26, 13, 3] }))],
  ['Permute', step(layers.permute({ dims: [3, 1, 2] }))],
  [
    'ZeroPadding2D',
    step(
      layers.zeroPadding2d({
        padding: [
          [1, 2],
          [0, 3],
        ],
      }),
    ),
  ],
  [
    'Cropping2D',
    step(
      layers.cropping2D({
        cropping: [
          [1, 2],
          [0, 3],
        ],
      }),
    ),
  ],
  ['ReLU', step(layers.reLU())],
  ['ReLU6', step(layers.reLU({ maxValue: 0.5 }))],
  ['LeakyReLU', step(layers.leakyReLU())],
  ['LeakyReLU with a slope', step(layers.leakyReLU({ alpha: 0.1 }))],
  ['PReLU with a slope for each value', step(layers.prelu())],
  ['PReLU with a slope for each channel', step(layers.prelu({ sharedAxes: [1, 2] }))],
  ['PReLU with one slope', step(layers.prelu({ sharedAxes: [1, 2, 3] }))],
  ['ELU', step(layers.elu())],
  ['ThresholdedReLU', step(layers.thresholdedReLU({ theta: 0.3 }))],
  ['Softmax over the channels', step(layers.softmax({ axis: -1 }))],
  ['Dropout', step(layers.dropout({ rate: 0.5 }))],
  ['GaussianNoise', step(layers.gaussianNoise({ stddev: 1 }))],
  ['Rescaling', step(layers.rescaling({ scale: 0.5, offset: -1 }))],
  ...'relu relu6 elu selu sigmoid hardSigmoid tanh softplus softsign softmax logSoftmax swish mish gelu gelu_new linear'
    .split(' ')
    .map((activation): [string, (x: SymbolicTensor) => SymbolicTensor] => [
      `the activation ${activation}`,
      step(layers.activation({ activation: activation as 'relu' })),
    ]),
  ['Conv2D with an activation', step(conv(4, 3, { activation: 'selu' }))],
  ['Add', branches(layers.add())],
  ['Multiply', branches(layers.multiply())],
  ['Average', branches(layers.average())],
  ['Maximum', branches(layers.maximum())],
  ['Minimum', branches(layers.minimum())],
  ['Concatenate', branches(layers.concatenate())],
  [
    'Multiply of a map and a vector',
    (x) => layers.multiply().apply([x, chain(x, layers.globalMaxPooling2d({}))]) as SymbolicTensor,
  ],
];

it.each(LAYERS)('%s', async (_, make) => {
  const model = around(make);
  const network = await imported(model, SIZE);
  const x = randomTensor([2, 3, SIZE, SIZE]);
  const expected = predict(model, x);
  expectClose(await run(network.classifier, x, network), expected);
  expectClose(await run(network.original!.graph, x, network), expected);
  if ('graph' in network.dense) expectClose(spatialMean(await run(network.dense.graph, x, network)), expected);
});

// ---- small nets of each family -----------------------------------------------------------------------------------

const normalized = (filters: number, kernel: number, strides = 1, activation = 'relu'): Layer[] => [
  conv(filters, kernel, { strides, useBias: false }),
  layers.batchNormalization(),
  layers.activation({ activation: activation as 'relu' }),
];
const joined = (join: Layer, ...values: SymbolicTensor[]): SymbolicTensor => join.apply(values) as SymbolicTensor;

function resNet(x: SymbolicTensor): SymbolicTensor {
  const stem = chain(x, layers.zeroPadding2d({ padding: 3 }), conv(8, 7, { strides: 2, padding: 'valid' }));
  const pooled = chain(stem, layers.zeroPadding2d({ padding: 1 }), layers.maxPooling2d({ poolSize: 3, strides: 2 }));
  return [1, 2].reduce((y, strides) => {
    const residual = chain(
      y,
      ...normalized(8, 1, strides),
      ...normalized(8, 3),
      conv(16, 1),
      layers.batchNormalization(),
    );
    return chain(
      joined(layers.add(), chain(y, conv(16, 1, { strides })), residual),
      layers.activation({ activation: 'relu' }),
    );
  }, pooled);
}

function mobileNetV2(x: SymbolicTensor): SymbolicTensor {
  const padded = layers.zeroPadding2d({
    padding: [
      [0, 1],
      [0, 1],
    ],
  });
  const stem = chain(
    x,
    padded,
    conv(8, 3, { strides: 2, padding: 'valid' }),
    layers.batchNormalization(),
    layers.reLU({ maxValue: 6 }),
  );
  const inverted = chain(
    stem,
    ...[conv(16, 1, { useBias: false }), layers.batchNormalization(), layers.reLU({ maxValue: 6 })],
    ...[layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', useBias: false }), layers.batchNormalization()],
    ...[layers.reLU({ maxValue: 6 }), conv(8, 1), layers.batchNormalization()],
  );
  return joined(layers.add(), stem, inverted);
}

function denseNet(x: SymbolicTensor): SymbolicTensor {
  const grown = [1, 2, 3].reduce(
    (y) => joined(layers.concatenate(), y, chain(y, layers.batchNormalization(), layers.reLU(), conv(4, 3))),
    chain(x, conv(8, 3, { strides: 2 })),
  );
  return chain(grown, conv(8, 1), layers.averagePooling2d({ poolSize: 2, strides: 2 }), layers.reLU());
}

function inception(x: SymbolicTensor): SymbolicTensor {
  const stem = chain(x, conv(6, 3, { strides: 2, padding: 'valid' }));
  const pooled = chain(
    stem,
    layers.averagePooling2d({ poolSize: 3, strides: 1, padding: 'same' }),
    ...normalized(4, 1),
  );
  const factored = chain(
    stem,
    layers.conv2d({ filters: 4, kernelSize: [1, 7], padding: 'same' }),
    layers.conv2d({ filters: 4, kernelSize: [7, 1], padding: 'same' }),
  );
  return joined(layers.concatenate({ axis: 3 }), chain(stem, ...normalized(4, 1)), factored, pooled);
}

function xception(x: SymbolicTensor): SymbolicTensor {
  const stem = chain(x, ...normalized(8, 3, 2));
  const separable = (): Layer => layers.separableConv2d({ filters: 8, kernelSize: 3, padding: 'same', useBias: false });
  const pool = layers.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' });
  const main = chain(stem, separable(), layers.batchNormalization(), layers.reLU(), separable(), pool);
  return joined(layers.add(), main, chain(stem, conv(8, 1, { strides: 2 })));
}

/** EfficientNet's block: swish, and a gate over the whole map. */
function efficientNet(x: SymbolicTensor): SymbolicTensor {
  const stem = chain(x, layers.rescaling({ scale: 0.7 }), ...normalized(8, 3, 2, 'swish'));
  const squeezed = chain(stem, layers.globalAveragePooling2d({}), layers.reshape({ targetShape: [1, 1, 8] }));
  const gate = chain(squeezed, conv(2, 1, { activation: 'swish' }), conv(8, 1, { activation: 'sigmoid' }));
  return joined(layers.multiply(), stem, gate);
}

/** SENet's gate as most write it: fully connected on a vector, reshaped behind. */
function seNet(x: SymbolicTensor): SymbolicTensor {
  const stem = chain(x, ...normalized(8, 3, 2));
  const excited = chain(
    stem,
    ...[layers.globalAveragePooling2d({}), layers.dense({ units: 2, activation: 'relu' })],
    ...[layers.dense({ units: 8, activation: 'hardSigmoid' }), layers.reshape({ targetShape: [1, 1, 8] })],
  );
  return joined(layers.multiply(), stem, excited);
}

/** NASNet's trick to shift a map by one cell. */
function nasNet(x: SymbolicTensor): SymbolicTensor {
  const stem = chain(x, conv(8, 3, { strides: 2 }), layers.reLU());
  const straight = chain(stem, layers.averagePooling2d({ poolSize: 1, strides: 2 }), conv(4, 1));
  const shifted = chain(
    stem,
    layers.zeroPadding2d({
      padding: [
        [0, 1],
        [0, 1],
      ],
    }),
    layers.cropping2D({
      cropping: [
        [1, 0],
        [1, 0],
      ],
    }),
    layers.averagePooling2d({ poolSize: 1, strides: 2 }),
    conv(4, 1),
  );
  return joined(layers.concatenate(), straight, shifted);
}

function squeezeNet(x: SymbolicTensor): SymbolicTensor {
  const squeezed = chain(x, conv(6, 3, { strides: 2, activation: 'relu' }), conv(3, 1, { activation: 'relu' }));
  const [narrow, wide] = [conv(4, 1, { activation: 'relu' }), conv(4, 3, { activation: 'relu' })];
  return joined(layers.concatenate(), chain(squeezed, narrow), chain(squeezed, wide));
}

const FAMILIES = { resNet, mobileNetV2, denseNet, inception, xception, efficientNet, seNet, nasNet, squeezeNet };
const POOLED_HEADS: Record<string, (channels: number) => Layer[]> = {
  'pooling → Dense': () => [layers.globalAveragePooling2d({}), layers.dropout({ rate: 0.2 }), dense()],
  'pooling → Reshape → Conv2D → Reshape': (channels) => [
    layers.globalAveragePooling2d({}),
    layers.reshape({ targetShape: [1, 1, channels] }),
    conv(CLASSES, 1),
    layers.reshape({ targetShape: [CLASSES] }),
  ],
  'pooling → Reshape → Conv2D → Flatten': (channels) => [
    layers.globalAveragePooling2d({}),
    layers.reshape({ targetShape: [1, 1, channels] }),
    conv(CLASSES, 1),
    layers.flatten(),
  ],
  'Conv2D → pooling': () => [conv(CLASSES, 1), layers.globalAveragePooling2d({})],
};

describe.each(Object.entries(FAMILIES))('%s', (_, trunk) => {
  it.each(Object.entries(POOLED_HEADS))(
    'with %s, at its own size and at others of its padding',
    async (_head, head) => {
      const build = (height: number, width: number): LayersModel => {
        const input = image(height, width);
        const map = trunk(input);
        return modelOf(input, chain(map, ...head(map.shape.at(-1)!)));
      };
      const model = build(32, 32);
      const network = await imported(model, 32);
      for (const [n, height, width] of [
        [2, 32, 32],
        [1, 48, 64],
      ] as const) {
        const resized = build(height, width);
        resized.setWeights(model.getWeights());
        const x = randomTensor([n, 3, height, width]);
        const expected = predict(resized, x);
        expectClose(await run(network.classifier, x, network), expected);
        expectClose(spatialMean(await run(denseOf(network), x, network)), expected);
      }
      // Where TensorFlow would pad before in place of behind (resolve-auto-padding.ts), both views still say the same.
      const x = randomTensor([1, 3, 45, 38]);
      expectClose(spatialMean(await run(denseOf(network), x, network)), await run(network.classifier, x, network));
    },
  );

  it('with Flatten → Dense, at its own size', async () => {
    const input = image(32);
    const pool = layers.averagePooling2d({ poolSize: 2 });
    const model = modelOf(
      input,
      chain(trunk(input), pool, layers.flatten(), layers.dense({ units: 7, activation: 'relu' }), dense()),
    );
    const network = await imported(model, 32);
    const x = randomTensor([2, 3, 32, 32]);
    const expected = predict(model, x);
    expectClose(await run(network.classifier, x, network), expected);
    expectClose(spatialMean(await run(denseOf(network), x, network)), expected);
  });
});

it.each<[string, (channels: number) => Layer[]]>([
  ['an activation', () => [layers.globalAveragePooling2d({}), layers.dense({ units: CLASSES, activation: 'softmax' })]],
  ['a layer', () => [layers.globalAveragePooling2d({}), dense(), layers.softmax({ axis: -1 })]],
  [
    'an activation of a map, as in MobileNet v1',
    (channels) => [
      layers.globalAveragePooling2d({}),
      layers.reshape({ targetShape: [1, 1, channels] }),
      conv(CLASSES, 1),
      layers.activation({ activation: 'softmax' }),
      layers.reshape({ targetShape: [CLASSES] }),
    ],
  ],
])('a softmax that is %s at the end is left to the server', async (_, head) => {
  const input = image(32);
  const model = modelOf(input, chain(mobileNetV2(input), ...head(8)));
  const network = await imported(model, 32);
  const x = randomTensor([1, 3, 32, 32]);
  const { dims, data } = spatialMean(await run(denseOf(network), x, network));
  const exponentials = Array.from(data as Float32Array, (logit) => Math.exp(logit));
  const sum = exponentials.reduce((total, value) => total + value, 0);
  expectClose({ dims, data: Float32Array.from(exponentials, (value) => value / sum) }, predict(model, x));
});

it('a VGG without padding scores every window of a larger image as TensorFlow.js scores it cut out', async () => {
  const valid = (filters: number): Layer => conv(filters, 3, { padding: 'valid', activation: 'relu' });
  const trunk = [valid(6), layers.maxPooling2d({ poolSize: 2 }), valid(8), layers.maxPooling2d({ poolSize: 2 })];
  const head = [
    layers.flatten(),
    layers.dense({ units: 9, activation: 'relu' }),
    layers.dropout({ rate: 0.5 }),
    dense(),
  ];
  const model = withGeneratedWeights(
    tfl.sequential({
      layers: [layers.inputLayer({ inputShape: [22, 22, 3] }), ...trunk, ...head, layers.softmax({ axis: -1 })],
    }),
  );
  const bare = tfl.model({ inputs: model.inputs, outputs: model.layers.at(-2)!.output });
  const network = await imported(model, 22);
  const x = randomTensor([1, 3, 30, 38]);
  const map = await run(denseOf(network), x, network);
  expect(map.dims).toEqual([1, CLASSES, 3, 5]);
  for (const [row, column] of [
    [0, 0],
    [0, 4],
    [1, 2],
    [2, 4],
  ] as const) {
    const expected = predict(bare, crop(x, { top: 4 * row, left: 4 * column, side: 22 }));
    const cell = Array.from({ length: CLASSES }, (_, k) => Number(map.data[(k * 3 + row) * 5 + column]));
    expectClose({ dims: [1, CLASSES], data: Float32Array.from(cell) }, expected);
  }
});

// ---- models inside of models, shared layers, stored weights -------------------------------------------------------

describe('a model inside of a model', () => {
  it.each(['functional', 'sequential'] as const)('as feature extractor of a %s model', async (kind) => {
    const inner = image(32);
    const extractor = tfl.model({ inputs: inner, outputs: resNet(inner), name: 'extractor' });
    const head = [layers.globalAveragePooling2d({}), dense()];
    const outer = image(32);
    const model =
      kind === 'sequential'
        ? withGeneratedWeights(tfl.sequential({ layers: [extractor, ...head] }))
        : modelOf(outer, chain(extractor.apply(outer) as SymbolicTensor, ...head));
    const network = await imported(model, 32);
    const x = randomTensor([1, 3, 32, 32]);
    expectClose(spatialMean(await run(denseOf(network), x, network)), predict(model, x));
  });

  it('called twice, with the same weights', async () => {
    const twice = tfl.sequential({
      layers: [conv(3, 3, { inputShape: [SIZE, SIZE, 3] }), layers.batchNormalization()],
    });
    const input = image();
    const once = twice.apply(chain(input, layers.reLU())) as SymbolicTensor;
    const again = twice.apply(once) as SymbolicTensor;
    const model = modelOf(input, chain(joined(layers.add(), once, again), layers.flatten(), dense()));
    const network = await imported(model, SIZE);
    const x = randomTensor([1, 3, SIZE, SIZE]);
    expectClose(await run(network.classifier, x, network), predict(model, x));
  });
});

it('a shared layer is called wherever it is used', async () => {
  const input = image();
  const shared = conv(3, 3);
  const [once] = [chain(input, shared)];
  const again = chain(once, shared);
  const model = modelOf(
    input,
    chain(joined(layers.concatenate(), again, once), layers.globalAveragePooling2d({}), dense()),
  );
  const network = await imported(model, SIZE);
  const x = randomTensor([1, 3, SIZE, SIZE]);
  expectClose(await run(network.classifier, x, network), predict(model, x));
});

describe('weights', () => {
  const make = (): LayersModel => {
    const input = image(32);
    return modelOf(input, chain(mobileNetV2(input), layers.globalAveragePooling2d({}), dense()));
  };

  it.each<[string, SaveOptions]>([
    ['in many groups', { groupSize: 2 }],
    ['cut at every 100 bytes', { shardBytes: 100 }],
    ['cut inside of a number', { shardBytes: 101 }],
  ])('%s are those of the whole', async (_, options) => {
    const model = make();
    const network = await imported(model, 32, options);
    const x = randomTensor([1, 3, 32, 32]);
    expectClose(await run(network.classifier, x, network), predict(model, x));
  });

  it.each<[string, SaveOptions, number]>([
    ['float16', { quantization: 'float16', shardBytes: 300 }, 2e-3],
    ['uint16', { quantization: 'uint16', groupSize: 3 }, 1e-3],
    ['uint8', { quantization: 'uint8' }, 0.2],
  ])('quantized as %s are those that TensorFlow.js reads, near the originals', async (_, options, tolerance) => {
    const model = make();
    const x = randomTensor([1, 3, 32, 32]);
    const original = predict(model, x);
    const network = await imported(model, 32, options);
    const logits = await run(network.classifier, x, network);
    expectClose(logits, original, 0, tolerance);
    expectClose(logits, predict(await reloaded(model, options), x));
  });
});

/** What TensorFlow.js itself reads from the files. */
async function reloaded(model: LayersModel, options: SaveOptions): Promise<LayersModel> {
  const { json, files } = await save(model, options);
  return layersModelOf(json, Buffer.concat([...files.values()]));
}
