/**
 * Whole networks on every engine, against ONNX Runtime: every family in narrow form as classifier and as dense view, at
 * every output stride and edge, in batches and sizes of every kind; and classifiers as exporters write them.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { ACTIVATIONS, buildArchitecture, type ArchitectureName } from '../../src/architectures/index.js';
import type { Graph } from '../../src/graph/graph.js';
import { readOnnx, writeOnnx } from '../../src/graph/onnx/model.js';
import { applyPass, applyPasses } from '../../src/graph/pass.js';
import { averageClassMap } from '../../src/graph/passes/average-class-map.js';
import { padHead } from '../../src/graph/passes/pad-head.js';
import { reduceOutputStride } from '../../src/graph/passes/reduce-output-stride.js';
import { selectClasses } from '../../src/graph/passes/select-classes.js';
import { importClassifier } from '../../src/models/networks/import-classifier.js';
import type { Engine } from '../../src/runtime/session.js';
import type { TensorMap } from '../../src/tensor.js';
import { withClassMap } from '../support/class-map.js';
import { asFeeds, ENGINES, runOn, TENSORFLOW_ENGINES } from '../support/engines.js';
import { randomTensor, relativeError, runGraph, withGeneratedWeights, type Value } from '../support/ort.js';
import { HEADS, OPSETS, TINY, tinyClassifier } from '../support/tiny-classifiers.js';
import { CLASSES, EACH_BLOCK, narrowNet, smallSide, VGG_AT_64, type NarrowNet } from '../support/tiny-graphs.js';

const NETS: readonly NarrowNet[] = [
  ...EACH_BLOCK,
  ['vgg11', VGG_AT_64],
  ['vgg11_bn', VGG_AT_64],
  ['resnet34'],
  ['resnet50', { stem: 'compact' }],
  ['wide_resnet50_2'],
  ['preresnet18'],
  ['preresnet50_keras'],
  ['preresnet110_cifar'],
  ['inception_v3'],
  ['squeezenet1_0'],
  ['tf_efficientnet_lite0'],
  ['nin_cifar'],
];

/** Those that are not slow in JavaScript, where a full Inception takes half a minute. */
const FULL_SIZE: readonly ArchitectureName[] = [
  ...(['inception_v3', 'googlenet', 'squeezenet1_0', 'squeezenet1_1'] as const),
  ...(['efficientnet_lite0', 'tf_efficientnet_lite0', 'nin_cifar'] as const),
];

/** The classes that are asked for: two of the net's own and two of each image's best, others for every image. */
function classesFor(batch: number): Value {
  const classes = Array.from({ length: batch }, (_, image) => [
    image % CLASSES,
    (image + 3) % CLASSES,
    CLASSES,
    CLASSES + 1,
  ]);
  return { dims: [batch, 4], data: BigInt64Array.from(classes.flat(), BigInt) };
}

/** Every output is ONNX Runtime's, and of its type. */
async function compare(engine: Engine, tolerance: number, graph: Graph, values: Record<string, Value>): Promise<void> {
  const expected = await runGraph(graph, values);
  expectAgreement(await runOn(engine, { model: writeOnnx(graph) }, values), expected, tolerance);
}

function expectAgreement(found: TensorMap, expected: Readonly<Record<string, Value>>, tolerance: number): void {
  expect(Object.keys(found).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, { dims, data }] of Object.entries(expected)) {
    expect(found[name]!.dims, name).toEqual(dims);
    // Indices are equal, or wrong.
    if (!(data instanceof Float32Array)) expect(found[name]!.data, name).toEqual(data);
    else expect(relativeError(found[name]!.data, data), name).toBeLessThan(tolerance);
  }
}

describe.each(ENGINES)('$name', ({ start, tolerance, fast }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await start();
  });
  const nets = NETS.filter(([name]) => fast || !FULL_SIZE.includes(name));

  describe.each(nets)('%s', (name, options) => {
    const classifier = narrowNet(name, options);
    const classMap = withClassMap(classifier, 64);
    const side = smallSide(name);
    const input = randomTensor([2, 3, side, side]);
    const larger = randomTensor([1, 3, side + 13, side + 32]);
    const views = (graph: Graph): Graph => applyPasses(graph, [selectClasses()]);

    it('classifies', () => compare(engine, tolerance, classifier, { input }));

    it('scores a larger image', () =>
      compare(engine, tolerance, applyPasses(classMap, [averageClassMap()]), { input: larger }));

    it('gives maps of the classes asked for, each image its own', async () => {
      await compare(engine, tolerance, views(classMap), { input, classes: classesFor(2) });
      await compare(engine, tolerance, views(classMap), { input: larger, classes: classesFor(1) });
    });

    it.runIf(fast)('gives finer maps, and maps up to the border', async () => {
      const strides = [32, 16, 8, 4, 2].filter((stride) => applyPass(classMap, reduceOutputStride(stride)));
      expect(strides.length).toBeGreaterThan(0);
      for (const stride of strides.slice(0, 2)) {
        const finer = applyPasses(classMap, [reduceOutputStride(stride)]);
        await compare(engine, tolerance, views(finer), { input: larger, classes: classesFor(1) });
      }
      const padded = applyPass(classMap, padHead());
      if (padded !== undefined) await compare(engine, tolerance, views(padded), { input, classes: classesFor(2) });
    });
  });

  describe.each(ACTIVATIONS)('with %s', (activation) => {
    it('in every place', async () => {
      await compare(engine, tolerance, narrowNet('preresnet18', { activation }), {
        input: randomTensor([1, 3, 64, 64]),
      });
    });
  });

  it('moves each image of a batch by its own transformation, in front of a classifier', async () => {
    const graph = withGeneratedWeights(buildArchitecture('spatial_transformer', { width: 4, classes: CLASSES }));
    await compare(engine, tolerance, graph, { input: randomTensor([3, 3, 32, 32]) });
  });

  it('gives each image of a batch what it gives it alone, whatever came before', async () => {
    const classMap = withClassMap(narrowNet('resnet20_cifar'), 32);
    const session = await engine.open({ id: 'net', model: writeOnnx(applyPasses(classMap, [selectClasses()])) });
    for (const [batch, height, width] of [
      [3, 32, 32],
      [1, 45, 38],
      [2, 33, 61],
      [3, 32, 32],
    ] as const) {
      const input = randomTensor([batch, 3, height, width], `${batch} ${height}`);
      const classes = classesFor(batch);
      const together = await session.run(asFeeds({ input, classes }));
      for (let image = 0; image < batch; image += 1) {
        const alone = await session.run(asFeeds({ input: item(input, image), classes: item(classes, image) }));
        const parts = Object.entries(together).map(([name, value]) => [name, item(value, image)] as const);
        expectAgreement(alone, Object.fromEntries(parts), 1e-5);
      }
    }
    await session.release();
  });
});

function item({ dims, data }: Value, index: number): Value {
  const length = data.length / dims[0]!;
  return { dims: [1, ...dims.slice(1)], data: data.slice(index * length, (index + 1) * length) };
}

describe.each(TENSORFLOW_ENGINES)('classifiers as exporters write them, on $name', ({ start, tolerance }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await start();
  });
  const cases = HEADS.flatMap((head) => OPSETS.map((opset) => ({ head, opset, name: head.name })));

  it.each(cases)('$name in opset $opset', async ({ head, opset }) => {
    const network = importClassifier(readOnnx(writeOnnx(tinyClassifier(head, { opset }))), TINY);
    if ('unavailable' in network.dense) throw new Error(network.dense.unavailable);
    const x = randomTensor([1, 3, 16, 16]);
    await compare(engine, tolerance, network.original!.graph, { x });
    await compare(engine, tolerance, network.classifier, { x: randomTensor([2, 3, 16, 16]) });
    await compare(engine, tolerance, network.dense.graph, { x: randomTensor([2, 3, 21, 29]) });
  });
});
