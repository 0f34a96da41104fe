/** Multi-ResNet, RoR, FractalNet and the recurrent ResNet: what they cost and see, and how their parts are joined. */
import { describe, expect, it } from 'vitest';
import { buildArchitecture, nativeForm, parametersOf } from '../../../src/architectures/index.js';
import { layersOn } from '../../../src/architectures/layers.js';
import { activate, basicFunction, finishPreActivationNet } from '../../../src/architectures/pre-activation-units.js';
import { graphBuilder } from '../../../src/graph/build.js';
import { countMultiplyAdds, countParameters } from '../../../src/graph/cost.js';
import { mapGeometry } from '../../../src/graph/geometry.js';
import type { Graph } from '../../../src/graph/graph.js';
import { CLASS_MAP } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { withClassMap } from '../../support/class-map.js';
import { NESTED_NETS } from '../../support/nested-figures.js';
import { randomTensor, relativeError, runGraph, withGeneratedWeights } from '../../support/ort.js';
import { narrowNet } from '../../support/tiny-graphs.js';

describe.each(NESTED_NETS)('%s %j', (name, options, { parameters, multiplyAdds, receptiveField, ...places }) => {
  const graph = buildArchitecture(name, options);
  const { inputSize } = nativeForm(name);
  const dense = withClassMap(graph, inputSize);

  it('has the parameters of the reference', () => {
    expect(countParameters(graph)).toBe(parameters);
  });

  it('has cells where those of the reference are', () => {
    const field = receptiveField === undefined ? {} : { receptiveField };
    expect(mapGeometry(dense, CLASS_MAP)).toMatchObject({ ...places, ...field });
  });

  it.runIf(multiplyAdds !== undefined)('has the multiply-adds of the reference', () => {
    // The references of the nets that end in `head.fc` score every cell, as the class map does; the classifier scores the mean.
    const counted = graph.initializers.has('head.fc.weight') ? dense : graph;
    const count = countMultiplyAdds(counted, inferShapes(counted, { input: [1, 3, inputSize, inputSize] }));
    if (typeof multiplyAdds === 'string') expect((count / 1e9).toFixed(3)).toBe(multiplyAdds);
    else expect(count).toBe(multiplyAdds);
  });
});

const input = randomTensor([2, 3, 32, 32]);
const logitsOf = async (graph: Graph) => (await runGraph(graph, { input }))['logits']!.data;

/** The graph with the weights of some parameters of others: `source` names them. */
function withWeightsOf(graph: Graph, source: (name: string) => string): Graph {
  const names = parametersOf(graph).map(({ name }) => source(name));
  const renamed = new Map(parametersOf(graph).map(({ name }, index) => [name, names[index]!]));
  const initializers = [...graph.initializers.values()].map((initializer) => {
    const from = renamed.get(initializer.name);
    if (from === undefined) return initializer;
    const other = { ...graph, nodes: [], outputs: [], initializers: new Map([[from, { ...initializer, name: from }]]) };
    return { ...initializer, data: withGeneratedWeights(other).initializers.get(from)!.data };
  });
  return { ...graph, initializers: new Map(initializers.map((initializer) => [initializer.name, initializer])) };
}

describe('a recurrent ResNet of T steps', () => {
  const STEPS = 3;
  const WIDTH = 6;

  /** The pre-activation ResNet whose blocks have names, and weights, of their own. */
  function unrolled(): Graph {
    const builder = graphBuilder({ name: 'unrolled' });
    const layers = layersOn(builder, { activation: 'relu' });
    let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
    x = layers.conv(x, 'stem.conv', { in: 3, out: WIDTH, kernel: 3, padding: 1 });
    let channels = WIDTH;
    for (const stage of [0, 1, 2]) {
      const out = WIDTH * 2 ** stage;
      for (let i = stage === 0 ? 0 : -1; i < STEPS; i += 1) {
        const name = `stages.${stage}.blocks.${i}`;
        const stride = i < 0 ? 2 : 1;
        const active = activate(layers, x, `${name}.norm1`, channels);
        const branch = basicFunction(layers, active, { name, in: channels, inner: out, out, stride });
        const projection = { in: channels, out, kernel: 1, stride };
        const shortcut = i < 0 ? layers.conv(x, `${name}.downsample.conv`, projection) : x;
        x = builder.node('Add', [branch, shortcut]);
        channels = out;
      }
    }
    return finishPreActivationNet(builder, layers, x, { channels, classes: 7 });
  }

  it.each([false, true])(
    'is a pre-activation ResNet whose blocks of a stage have the same weights (and norms: %s)',
    async (sharedNorms) => {
      const recurrent = narrowNet('recurrent_resnet_cifar', { width: WIDTH, steps: STEPS, sharedNorms });
      const norm = (step: string): string => (sharedNorms ? '0' : step);
      const shared = withWeightsOf(unrolled(), (name) =>
        name
          .replace('.blocks.-1.', '.transition.')
          .replace(/\.blocks\.(\d)\.(norm\d)/, (_, step: string, layer: string) => `.${layer}.${norm(step)}`)
          .replace(/\.blocks\.\d\./, '.'),
      );
      expect(relativeError(await logitsOf(recurrent), await logitsOf(shared))).toBeLessThan(1e-6);
    },
  );

  it('has no more weights in its convolutions however many steps, and costs more', () => {
    const [few, many] = [2, 9].map((steps) =>
      buildArchitecture('recurrent_resnet_cifar', { steps, sharedNorms: true }),
    );
    const cost = (graph: Graph): number => countMultiplyAdds(graph, inferShapes(graph, { input: [1, 3, 32, 32] }));
    expect(countParameters(few!)).toBe(countParameters(many!));
    // Each step has two convolutions of 3×3 in each stage, of equal cost.
    expect(cost(many!) - cost(few!)).toBe(7 * 3 * 2 * (32 * 32 * 16 * 16 * 9));
  });
});

describe('a Multi-ResNet', () => {
  it('with one function is a pre-activation ResNet', () => {
    const one = buildArchitecture('multi_resnet', { depth: 50, k: 1 });
    const other = buildArchitecture('preresnet50');
    // But for the first normalization, which is in the stem here.
    const weights = (graph: Graph): string[] =>
      parametersOf(graph).flatMap(({ name, dims }) => (dims.length === 4 ? [name.replace('branches.0.', '')] : []));
    expect(weights(one).toSorted()).toEqual(weights(other).toSorted());
    expect(countParameters(one)).toBe(countParameters(other));
  });

  it('adds its functions: with equal weights each as often as there are', async () => {
    const options = { depth: 14, width: 4, classes: 7, k: 2 };
    const two = buildArchitecture('multi_resnet_basic_cifar', options);
    const equal = withWeightsOf(two, (name) => name.replace('branches.1.', 'branches.0.'));
    const doubled = withWeightsOf(buildArchitecture('multi_resnet_basic_cifar', { ...options, k: 1 }), (name) => name);
    const nodes = doubled.nodes.map((node) =>
      node.op === 'Add' ? { ...node, inputs: [...node.inputs, node.inputs[1]!], op: 'Sum' } : node,
    );
    expect(relativeError(await logitsOf(equal), await logitsOf({ ...doubled, nodes }))).toBeLessThan(1e-6);
  });
});

describe('a FractalNet', () => {
  it.each([1, 2, 3])('has column %i as a net of its own, with 2^(c − 1) convolutions in a block', async (column) => {
    const graph = narrowNet('fractalnet_cifar', { column });
    expect(graph.nodes.filter(({ op }) => op === 'Conv')).toHaveLength(5 * 2 ** (column - 1));
    expect(graph.nodes.some(({ op }) => op === 'Mean')).toBe(false);
    const whole = buildArchitecture('fractalnet_cifar', { columns: 3, width: 4, classes: 7 });
    for (const { name, dims } of parametersOf(
      buildArchitecture('fractalnet_cifar', { columns: 3, width: 4, column }),
    )) {
      if (!name.startsWith('prediction')) expect(whole.initializers.get(name)?.dims).toEqual(dims);
    }
    expect((await logitsOf(graph)).every(Number.isFinite)).toBe(true);
  });

  it('with one column has nothing to join, and pooling first or last is the same', async () => {
    const [first, last] = [true, false].map((poolFirst) => narrowNet('fractalnet_cifar', { columns: 1, poolFirst }));
    expect(await logitsOf(first!)).toEqual(await logitsOf(last!));
    const [pooled, joined] = [true, false].map((poolFirst) => narrowNet('fractalnet_cifar', { poolFirst }));
    expect(relativeError(await logitsOf(pooled!), await logitsOf(joined!))).toBeGreaterThan(0.01);
  });
});

describe('RoR-3', () => {
  it('halves by strides, or by pooling between stages with the same parameters', async () => {
    const [strides, pooling] = [false, true].map((pooled) => narrowNet('ror3_cifar', { pooling: pooled }));
    expect(parametersOf(strides!)).toEqual(parametersOf(pooling!));
    expect(pooling!.nodes.filter(({ op }) => op === 'MaxPool')).toHaveLength(2);
    expect(relativeError(await logitsOf(strides!), await logitsOf(pooling!))).toBeGreaterThan(0.01);
  });
});
