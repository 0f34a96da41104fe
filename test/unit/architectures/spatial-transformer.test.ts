/** Spatial transformers: the sampling against torch, the tutorial's net, the wrapper, and two of them for MNIST addition. */
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import {
  buildArchitecture,
  initialValues,
  parametersOf,
  type ArchitectureName,
} from '../../../src/architectures/index.js';
import { layersOn } from '../../../src/architectures/layers.js';
import { localize, sampleAffine } from '../../../src/architectures/spatial-transformer.js';
import { int } from '../../../src/graph/attributes.js';
import { graphBuilder } from '../../../src/graph/build.js';
import { countMultiplyAdds, countParameters } from '../../../src/graph/cost.js';
import type { Graph } from '../../../src/graph/graph.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { verifyGraph } from '../../../src/graph/verify.js';
import { IMAGENET } from '../../support/bound.js';
import {
  randomImage,
  randomTensor,
  relativeError,
  runGraph,
  withGeneratedWeights,
  type Value,
} from '../../support/ort.js';
import { inlineConstant } from '../../../src/graph/constants.js';

const readFixture = async (name: string): Promise<unknown> =>
  JSON.parse(await readFile(new URL(`../../fixtures/golden/${name}.json`, import.meta.url), 'utf8'));

/** The golden image as planes, normalized as ImageNet's. */
function planes(height: number, width: number): Value {
  const { data } = randomImage([1, height, width, 3]);
  const values = [0, 1, 2].flatMap((channel) =>
    Array.from({ length: height * width }, (_, pixel) => {
      return (Number(data[3 * pixel + channel]) / 255 - IMAGENET.mean[channel]!) / IMAGENET.std[channel]!;
    }),
  );
  return { dims: [1, 3, height, width], data: Float32Array.from(values) };
}

/** The graph with these values in place of those parameters' generated weights. */
function withValues(graph: Graph, values: Readonly<Record<string, readonly number[]>>): Graph {
  const set = Object.entries(values).map(([name, list]) => {
    return [name, inlineConstant(name, 'float32', graph.initializers.get(name)!.dims, list)] as const;
  });
  return { ...graph, initializers: new Map([...graph.initializers, ...set]) };
}

interface SamplingCase {
  readonly theta: readonly (readonly number[])[];
  readonly name: string;
  readonly height: number;
  readonly width: number;
  readonly out: readonly [height: number, width: number];
  readonly align_corners: boolean;
  readonly output: readonly number[];
}

describe('an image sampled at θ', () => {
  it("is what torch's affine_grid and grid_sample give, to each size, by corners and by edges", async () => {
    const { cases } = (await readFixture('spatial_transformer')) as { cases: readonly SamplingCase[] };
    expect(cases).toHaveLength(24);
    for (const { theta, height, width, out, align_corners: alignCorners, output } of cases) {
      const builder = graphBuilder({ name: 'sampling' });
      const image = builder.input('image', 'float32', ['N', 3, 'H', 'W']);
      const moved = sampleAffine(builder, image, builder.input('theta', 'float32', ['N', 6]), {
        height: out[0],
        width: out[1],
        alignCorners,
      });
      const graph = builder.finish([{ name: moved, dataType: 'float32', dims: ['N', 3, ...out] }]);
      const transformation = { dims: [1, 6], data: Float32Array.from(theta.flat()) };
      const { [moved]: found } = await runGraph(graph, { image: planes(height, width), theta: transformation });
      expect(found!.dims).toEqual([1, 3, ...out]);
      expect(relativeError(found!.data, output)).toBeLessThan(1e-5);
    }
  });
});

describe("the net of PyTorch's tutorial", () => {
  const built = buildArchitecture('stn_mnist');

  it('has its parameters and cost', () => {
    expect(countParameters(built)).toBe(27360);
    expect(countMultiplyAdds(built, inferShapes(built, { input: [1, 1, 28, 28] }))).toBe(771300);
  });

  it('gives its θ and logits', async () => {
    interface Tutorial {
      readonly state: Readonly<Record<string, readonly number[]>>;
      readonly cases: readonly [{ readonly theta: readonly number[]; readonly logits: readonly number[] }];
    }
    const { state, cases } = (await readFixture('stn_mnist')) as Tutorial;
    expect(Object.fromEntries(parametersOf(built).map(({ name, dims }) => [name, dims]))).toEqual(state);
    const [{ theta, logits }] = cases;
    const { data } = randomImage([1, 28, 28, 3]);
    const red = Float32Array.from({ length: 28 * 28 }, (_, pixel) => (Number(data[3 * pixel]) / 255 - 0.1307) / 0.3081);
    const graph = withGeneratedWeights(built);
    const outputs = [...graph.outputs, { name: 'fc_loc.2', dataType: 'float32', dims: ['N', 6] } as const];
    const found = await runGraph({ ...graph, outputs }, { input: { dims: [1, 1, 28, 28], data: red } });
    expect(relativeError(found['fc_loc.2']!.data, theta)).toBeLessThan(1e-5);
    expect(relativeError(found['logits']!.data, logits)).toBeLessThan(1e-4);
  });
});

describe('a spatial transformer in front of a classifier', () => {
  const CLASSIFIERS: [ArchitectureName, Record<string, number>][] = [
    ['resnet20_cifar', { width: 4 }],
    ['vgg11_bn', { width: 4, hidden: 12, inputSize: 32 }],
    ['densenet121', { width: 8, growth: 4, inputSize: 48 }],
    ['squeezenet1_1', { inputSize: 64 }],
  ];

  it.each(CLASSIFIERS)('changes no answer of %s before it is trained: the identity', async (classifier, options) => {
    const alone = withGeneratedWeights(buildArchitecture(classifier, { classes: 7, ...options }));
    for (const alignCorners of [false, true]) {
      const built = buildArchitecture('spatial_transformer', { classifier, alignCorners, classes: 7, ...options });
      verifyGraph(built);
      const graph = withValues(withGeneratedWeights(built), initialValues('spatial_transformer'));
      const side = options['inputSize'] ?? 32;
      const input = randomTensor([2, 3, side, side]);
      const [found, expected] = [await runGraph(graph, { input }), await runGraph(alone, { input })];
      expect(relativeError(found['logits']!.data, expected['logits']!.data)).toBeLessThan(1e-4);
      const trained = await runGraph(withGeneratedWeights(built), { input });
      expect(relativeError(trained['logits']!.data, expected['logits']!.data)).toBeGreaterThan(1e-3);
    }
  });

  it("has the classifier's parameters, and those of the localization net", () => {
    const localization = 8 * 3 * 49 + 8 + (10 * 8 * 25 + 10) + (160 * 32 + 32) + (32 * 6 + 6);
    const built = buildArchitecture('spatial_transformer');
    expect(countParameters(built)).toBe(countParameters(buildArchitecture('resnet20_cifar')) + localization);
  });

  it('takes the native size of its classifier, and no other', () => {
    const graph = buildArchitecture('spatial_transformer', { classifier: 'resnet18' });
    expect(inferShapes(graph, { input: [2, 3, 224, 224] }).get('transformer')).toEqual([2, 3, 224, 224]);
    expect(inferShapes(graph, { input: [2, 3, 224, 224] }).get('logits')).toEqual([2, 1000]);
    expect(() => inferShapes(graph, { input: [1, 3, 256, 256] })).toThrow('fc_loc.0');
  });
});

describe('MNIST addition (Jaderberg 2015): two digits in two channels, and the class is their sum', () => {
  /** Each transformer sees both channels, and moves both; a small net reads all four. */
  function addition(): Graph {
    const side = 42;
    const builder = graphBuilder({ name: 'mnist_addition' });
    const layers = layersOn(builder, { activation: 'relu' });
    const image = builder.input('input', 'float32', ['N', 2, 'H', 'W']);
    const moved = ['first.', 'second.'].map((prefix) => {
      const net = { name: 'mnist_addition', builder, layers, prefix };
      const theta = localize(net, image, { channels: 2, side });
      return sampleAffine(builder, image, theta, {
        height: side,
        width: side,
        alignCorners: true,
        name: `${prefix}transformer`,
      });
    });
    let x = layers.conv(layers.concat(moved, 'both'), 'conv1', { in: 4, out: 16, kernel: 5, stride: 2, bias: true });
    x = layers.conv(layers.activation(x, 'relu1'), 'conv2', { in: 16, out: 19, kernel: 3, bias: true });
    x = builder.node('GlobalAveragePool', [x]);
    x = builder.node('Flatten', [x], { output: 'logits', attributes: { axis: int(1) } });
    return builder.finish([{ name: x, dataType: 'float32', dims: ['N', 19] }]);
  }

  it('builds, and runs with weights that nobody trained: its sums mean nothing', async () => {
    const graph = addition();
    verifyGraph(graph);
    const { logits } = await runGraph(withGeneratedWeights(graph), { input: randomTensor([3, 2, 42, 42]) });
    expect(logits!.dims).toEqual([3, 19]);
    expect(logits!.data.every(Number.isFinite)).toBe(true);
  });
});
