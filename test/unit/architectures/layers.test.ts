import { describe, expect, it } from 'vitest';
import { ACTIVATIONS } from '../../../src/architectures/index.js';
import { layersOn } from '../../../src/architectures/layers.js';
import { countParameters } from '../../../src/graph/cost.js';
import { generatedValues } from '../../../src/models/networks/generated-weights.js';
import { expectClose, randomTensor, runGraph } from '../../support/ort.js';
import { graphOf, narrowNet } from '../../support/tiny-graphs.js';

const slope = generatedValues('act.weight', [1])[0]!;

const BELOW_ZERO: Record<(typeof ACTIVATIONS)[number], (x: number) => number> = {
  relu: () => 0,
  relu6: () => 0,
  leaky_relu: (x) => 0.01 * x,
  prelu: (x) => slope * x,
  elu: (x) => Math.exp(x) - 1,
};

describe('the activation', () => {
  it.each(ACTIVATIONS)('%s is the identity above zero, and what it is known for elsewhere', async (activation) => {
    const graph = graphOf(['N', 2, 'H', 'W'], (b, x) => layersOn(b, { activation }).activation(x, 'act'));
    const { dims, data } = randomTensor([2, 2, 5, 4]);
    const x = { dims, data: Float32Array.from(Array.from(data, Number), (value) => 9 * value) };
    const most = activation === 'relu6' ? 6 : Infinity;
    const at = (value: number): number => (value > 0 ? Math.min(value, most) : BELOW_ZERO[activation](value));
    const values = Array.from(x.data, at);
    const expected = Float32Array.from(values);
    expectClose((await runGraph(graph, { x }))['act'], { dims: x.dims, data: expected });
  });
});

it.each([
  ['leaky_relu', { leakyAlpha: 0.2 }, (x: number) => 0.2 * x],
  ['elu', { eluAlpha: 0.5 }, (x: number) => 0.5 * (Math.exp(x) - 1)],
] as const)('%s takes its α from the options of a net', async (activation, alpha, below) => {
  const net = narrowNet('squeezenet1_1', { activation, ...alpha });
  const { op, attributes } = net.nodes.find(({ name }) => name === 'features.1')!;
  const graph = graphOf(['N', 2], (b, x) => b.node(op, [x], { name: 'act', attributes }));
  const x = { dims: [1, 2], data: Float32Array.of(-1.5, 3) };
  expectClose((await runGraph(graph, { x }))['act'], { dims: [1, 2], data: Float32Array.of(below(-1.5), 3) });
});

describe('average pooling', () => {
  it('counts padding as zeros', async () => {
    const graph = graphOf(['N', 1, 'H', 'W'], (b, x) =>
      layersOn(b, { activation: 'relu' }).averagePool(x, 'pool', { kernel: 3, stride: 1, padding: 1 }),
    );
    const x = { dims: [1, 1, 2, 2], data: Float32Array.of(9, 18, 27, 36) };
    expectClose((await runGraph(graph, { x }))['pool'], { dims: [1, 1, 2, 2], data: Float32Array.of(10, 10, 10, 10) });
  });

  it('leaves padding out of the mean where a net does', async () => {
    const graph = graphOf(['N', 1, 'H', 'W'], (b, x) =>
      layersOn(b, { activation: 'relu' }).averagePool(x, 'pool', {
        kernel: 3,
        stride: 1,
        padding: 1,
        countsPadding: false,
      }),
    );
    const x = { dims: [1, 1, 2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) };
    const expected = { dims: [1, 1, 2, 3], data: Float32Array.of(3, 3.5, 4, 3, 3.5, 4) };
    expectClose((await runGraph(graph, { x }))['pool'], expected);
  });
});

describe('a scaled value', () => {
  it('is multiplied by a number, which is no parameter', async () => {
    const graph = graphOf(['N', 'C'], (b, x) => {
      const layers = layersOn(b, { activation: 'relu' });
      return layers.scale(layers.scale(x, 'a', 0.5), 'b', -3);
    });
    const x = { dims: [1, 2], data: Float32Array.of(1, -2) };
    expectClose((await runGraph(graph, { x }))['b'], { dims: [1, 2], data: Float32Array.of(-1.5, 3) });
    expect(countParameters(graph)).toBe(0);
  });
});

describe('a convolution in groups', () => {
  it('sees only the channels of its group', async () => {
    const graph = graphOf(['N', 4, 'H', 'W'], (b, x) =>
      layersOn(b, { activation: 'relu' }).conv(x, 'conv', {
        in: 4,
        out: 2,
        kernel: [1, 3],
        padding: [0, 1],
        groups: 2,
      }),
    );
    const x = randomTensor([1, 4, 3, 5]);
    const values = Array.from(x.data, Number);
    const cut = { dims: x.dims, data: Float32Array.from(values, (value, index) => (index < 30 ? value : 0)) };
    const [whole, half] = [(await runGraph(graph, { x }))['conv']!, (await runGraph(graph, { x: cut }))['conv']!];
    expect(whole.dims).toEqual([1, 2, 3, 5]);
    expect(half.data.slice(0, 15)).toEqual(whole.data.slice(0, 15));
    expect(Array.from(half.data.slice(15), Number).every((value) => value === 0)).toBe(true);
  });
});
