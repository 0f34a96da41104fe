import { describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import { applyPass, applyPasses } from '../../../src/graph/pass.js';
import { appendMoments, MEANS, MEAN_SQUARES } from '../../../src/graph/passes/append-moments.js';
import { tapValues } from '../../../src/graph/passes/tap-values.js';
import { responsesOf } from '../../../src/graph/responses.js';
import { randomTensor, runGraph } from '../../support/ort.js';
import { narrowNet } from '../../support/tiny-graphs.js';

describe('responses', () => {
  it('are what 3×3 convolutions give, behind batch normalization and in front of activations', () => {
    const responses = responsesOf(buildArchitecture('resnet20_cifar', {}));
    expect(responses).toHaveLength(19);
    expect(responses.slice(0, 3)).toEqual([
      { layer: 'conv1', value: 'bn1' },
      { layer: 'layer1.0.conv1', value: 'layer1.0.bn1' },
      { layer: 'layer1.0.conv2', value: 'layer1.0.bn2' },
    ]);
    expect(responsesOf(buildArchitecture('resnet50', {}))).toHaveLength(16);
  });

  it('are those of the convolution where nothing normalizes them', () => {
    expect(responsesOf(buildArchitecture('vgg11', {}))[0]).toEqual({ layer: 'features.0', value: 'features.0' });
  });
});

describe('append-moments', () => {
  it('gives mean and mean square of each value for each image', async () => {
    const graph = narrowNet('resnet20_cifar');
    const values = responsesOf(graph).map(({ value }) => value);
    const both = applyPasses(graph, [tapValues(values, 32), appendMoments(values)]);
    const outputs = await runGraph(both, { input: randomTensor([2, 3, 32, 32]) });
    const mean = (numbers: readonly number[]): number => numbers.reduce((sum, x) => sum + x, 0) / numbers.length;
    for (const [index, value] of values.entries()) {
      const numbers = Array.from(outputs[value]!.data, Number);
      const second = numbers.slice(numbers.length / 2);
      expect(Number(outputs[MEANS]!.data[values.length + index])).toBeCloseTo(mean(second), 4);
      expect(Number(outputs[MEAN_SQUARES]!.data[values.length + index])).toBeCloseTo(mean(second.map((x) => x * x)), 4);
    }
    expect(outputs[MEANS]!.dims).toEqual([2, 19]);
    expect(applyPass(graph, appendMoments([]))).toBeUndefined();
  });
});
