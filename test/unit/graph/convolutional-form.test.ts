import { describe, expect, it } from 'vitest';
import { int } from '../../../src/graph/attributes.js';
import { convolutionalForm } from '../../../src/graph/convolutional-form.js';
import { CLASS_MAP } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { graphOf, narrowNet, tinyVgg } from '../../support/tiny-graphs.js';

const cellsOf = (graph: ReturnType<typeof narrowNet>, side: number) =>
  inferShapes(graph, { input: [1, 3, side, side] }).get(CLASS_MAP);

describe('the convolutional form of a classifier', () => {
  it('pools globally where its head does, behind it one layer, several or none', () => {
    for (const name of ['plain20_cifar', 'highway19_cifar', 'nin_cifar'] as const) {
      const { graph, poolsGlobally } = convolutionalForm(narrowNet(name), 32);
      expect(poolsGlobally).toBe(true);
      expect(cellsOf(graph, 64)).toEqual([1, 7, 16, 16]);
    }
    const { graph, poolsGlobally } = convolutionalForm(narrowNet('inception_resnet_v1_facenet'), 299);
    expect(poolsGlobally).toBe(true);
    expect(cellsOf(graph, 331)).toEqual([1, 7, 9, 9]);
  });

  it('has a window of the native size where fully connected layers read the whole map', () => {
    const { graph, poolsGlobally } = convolutionalForm(tinyVgg(), 64);
    expect(poolsGlobally).toBe(false);
    expect(cellsOf(graph, 80)).toEqual([1, 7, 2, 2]);
  });

  it('is refused where an activation stands between the layers behind the pooling', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const pooled = b.node('Flatten', [b.node('GlobalAveragePool', [x])], { attributes: { axis: int(1) } });
      const gemm = (input: string, weight: string, dims: number[]): string =>
        b.node('Gemm', [input, b.parameter(weight, dims)], { attributes: { transB: int(1) } });
      const last = gemm(b.node('Relu', [gemm(pooled, 'a', [4, 3])]), 'b', [5, 4]);
      return [{ name: last, dataType: 'float32', dims: ['N', 5] }];
    });
    expect(() => convolutionalForm(graph, 32)).toThrow('the layers behind the global pooling are not affine');
  });
});
