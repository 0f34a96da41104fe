/** Every family in narrow form, run: what must hold of it whatever its weights are. */
import { describe, expect, it } from 'vitest';
import { ACTIVATIONS, ARCHITECTURE_NAMES, buildArchitecture, nativeForm } from '../../../src/architectures/index.js';
import type { Graph } from '../../../src/graph/graph.js';
import { applyPasses } from '../../../src/graph/pass.js';
import { CLASS_MAP, convolutionalizeGemm } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { withClassMap } from '../../support/class-map.js';
import { randomTensor, relativeError, runGraph, spatialMean } from '../../support/ort.js';
import { EACH_BLOCK, narrowNet, smallSide, VGG_AT_64, type NarrowNet } from '../../support/tiny-graphs.js';

const NETS: readonly NarrowNet[] = [
  ...EACH_BLOCK,
  ['plain20_cifar'],
  ['densenet40_k12_cifar'],
  ['inception_resnet_v2'],
  ['nin_cifar'],
  ['nin_imagenet'],
  ['strided_cnn_b_cifar'],
  ['resnet34'],
  ['resnet50', { stem: 'compact' }],
  ['wide_resnet50_2'],
  ['wide_resnet18_1.5'],
  ['preresnet18'],
  ['preresnet50'],
  ['preresnet164_cifar'],
  ['multi_resnet'],
  ['multi_resnet_cifar'],
  ['ror3_cifar', { pooling: true }],
  ['ror3_wrn_cifar'],
  ['ror3_wrn_cifar', { pooling: true }],
  ['recurrent_resnet_cifar', { sharedNorms: true }],
  ['fractalnet'],
  ['fractalnet_cifar', { poolFirst: false, affine: true }],
  ['fractalnet_cifar', { column: 2 }],
  ['squeezenet1_0'],
  ['tf_efficientnet_lite0'],
  ['tf_efficientnet_lite2'],
];

const OPERATORS = { relu: 'Relu', relu6: 'Clip', leaky_relu: 'LeakyRelu', prelu: 'PRelu', elu: 'Elu' } as const;

/** Of the class map's mean to the logits, at this size; the map has the shape that is inferred. */
async function meanError(graph: Graph, height: number, width: number): Promise<number> {
  const dense = withClassMap(graph, height);
  const input = randomTensor([2, 3, height, width]);
  const map = (await runGraph(dense, { input }))[CLASS_MAP]!;
  expect(map.dims).toEqual(inferShapes(dense, { input: input.dims }).get(CLASS_MAP));
  return relativeError(spatialMean(map).data, (await runGraph(graph, { input }))['logits']!.data);
}

describe.each(NETS)('%s', (name, options) => {
  it('has a class map whose mean is the logits, at any size', async () => {
    const graph = narrowNet(name, options);
    // A FractalNet for CIFAR has one cell for 32 pixels.
    const isSmall = nativeForm(name).inputSize === 32 && !name.startsWith('fractalnet');
    const side = isSmall ? 32 : Math.max(96, smallSide(name));
    expect(await meanError(graph, side, side)).toBeLessThan(1e-4);
    expect(await meanError(graph, side + 13, side - 1)).toBeLessThan(1e-4);
  });

  it('runs on the smallest image that has a cell', async () => {
    const graph = narrowNet(name, options);
    const dense = withClassMap(graph, nativeForm(name).inputSize);
    const cells = (side: number) => inferShapes(dense, { input: [1, 3, side, side] }).get(CLASS_MAP)![2]!;
    let side = 1;
    while (cells(side) === 0) side += 1;
    expect(await meanError(graph, side, side + 1)).toBeLessThan(1e-4);
  });

  it.each(ACTIVATIONS)('runs with %s in every place of an activation', async (activation) => {
    const graph = narrowNet(name, { ...options, activation });
    const used = new Set(graph.nodes.map(({ op }) => op).filter((op) => Object.values<string>(OPERATORS).includes(op)));
    expect([...used]).toEqual([OPERATORS[activation]]);
    const side = Math.max(64, smallSide(name));
    expect(await meanError(graph, side, side)).toBeLessThan(1e-4);
  });
});

describe('a VGG', () => {
  it.each(ACTIVATIONS)('is convolutionalized with %s, in its head too', async (activation) => {
    const graph = narrowNet('vgg11_bn', { ...VGG_AT_64, activation });
    const input = randomTensor([2, 3, 64, 64]);
    const map = (await runGraph(applyPasses(graph, [convolutionalizeGemm(64)]), { input }))[CLASS_MAP]!;
    expect(relativeError(spatialMean(map).data, (await runGraph(graph, { input }))['logits']!.data)).toBeLessThan(1e-4);
  });
});

/** Behind a spatial transformer no cell has a place. */
const WITH_MAP = ARCHITECTURE_NAMES.filter((name) => !['spatial_transformer', 'stn_mnist'].includes(name));

describe.each(WITH_MAP)('the class map of %s', (name) => {
  const { inputSize } = nativeForm(name);
  const dense = withClassMap(buildArchitecture(name), inputSize);
  const cells = (height: number, width: number) =>
    inferShapes(dense, { input: [1, 3, height, width] })
      .get(CLASS_MAP)!
      .slice(2) as [number, number];

  it('has cells at the native size, no fewer on a larger image, and none without an image', () => {
    const [height, width] = cells(inputSize, inputSize);
    expect(height).toBe(width);
    expect(height).toBeGreaterThanOrEqual(1);
    const [tall, wide] = cells(2 * inputSize + 5, 3 * inputSize);
    expect(tall).toBeGreaterThan(height);
    expect(wide).toBeGreaterThan(tall);
    expect(cells(0, 0)).toEqual([0, 0]);
  });
});
