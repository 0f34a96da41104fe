import { describe, expect, it } from 'vitest';
import { buildArchitecture, parametersOf } from '../../../../src/architectures/index.js';
import type { DataType } from '../../../../src/graph/graph.js';
import { GraphError } from '../../../../src/graph/graph-error.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { bindWeights, type StoredTensor } from '../../../../src/graph/passes/bind-weights.js';
import { tinyResNet } from '../../../support/tiny-graphs.js';

const graph = buildArchitecture('resnet18', { classes: 7, width: 4 });

function stored(dataType: DataType, bytes: number): Map<string, StoredTensor> {
  return new Map(
    parametersOf(graph).map(({ name, dims }, index) => {
      const length = dims.reduce((product, size) => product * size, bytes);
      return [name, { dataType, dims, offset: 1000 * index, length }];
    }),
  );
}

const bind = (tensors: ReadonlyMap<string, StoredTensor>) =>
  applyPasses(graph, [bindWeights({ file: 'm.safetensors', tensors })]);

describe('bindWeights', () => {
  it('points every parameter into the file', () => {
    const bound = bind(stored('float32', 4));
    expect(parametersOf(bound)).toEqual([]);
    expect(bound.initializers.get('fc.bias')!.data).toEqual({
      kind: 'external',
      file: 'm.safetensors',
      offset: 1000 * (parametersOf(graph).length - 1),
      length: 28,
    });
  });

  it('says so when the file holds half precision', () => {
    expect(bind(stored('float16', 2)).initializers.get('fc.bias')!.data).toMatchObject({
      length: 14,
      storedAs: 'float16',
    });
  });

  it('ignores tensors that have no parameter', () => {
    const extra = { dataType: 'int64', dims: [], offset: 0, length: 8 } as const;
    expect(() => bind(stored('float32', 4).set('bn1.num_batches_tracked', extra))).not.toThrow();
  });

  it('names a tensor that is missing', () => {
    const tensors = stored('float32', 4);
    tensors.delete('layer1.0.conv1.weight');
    expect(() => bind(tensors)).toThrow(GraphError);
    expect(() => bind(tensors)).toThrow(/m\.safetensors: tensor "layer1\.0\.conv1\.weight" \[4, 4, 3, 3\] is missing/);
  });

  it('names a tensor of other dimensions, with both', () => {
    const other = { dataType: 'float32', dims: [10, 32], offset: 0, length: 1280 } as const;
    expect(() => bind(stored('float32', 4).set('fc.weight', other))).toThrow(
      /"fc\.weight" must be \[7, 32\], is \[10, 32\]/,
    );
  });

  it('takes a fully connected layer for the convolution over its whole input, and the other way round', () => {
    const dims = graph.initializers.get('fc.weight')!.dims;
    const tensors = stored('float32', 4);
    const { offset, length } = tensors.get('fc.weight')!;
    tensors.set('fc.weight', { dataType: 'float32', dims: [7, 2, 4, 4], offset, length });
    expect(bind(tensors).initializers.get('fc.weight')).toMatchObject({ dims, data: { offset, length } });

    tensors.set('layer1.0.conv1.weight', { ...tensors.get('layer1.0.conv1.weight')!, dims: [4, 36] });
    expect(() => bind(tensors)).not.toThrow();
    tensors.set('fc.weight', { dataType: 'float32', dims: [7, 32, 1], offset, length });
    expect(() => bind(tensors)).toThrow(/"fc\.weight" must be \[7, 32\], is \[7, 32, 1\]/);
  });

  it('looks for a tensor under the name that the source has for it', () => {
    const tensors = new Map([...stored('float32', 4)].map(([name, tensor]) => [`net/${name}`, tensor]));
    const source = { file: 'm.safetensors', tensors, nameOf: (name: string) => `net/${name}` };
    expect(parametersOf(applyPasses(graph, [bindWeights(source)]))).toEqual([]);
    tensors.set('net/fc.bias', { dataType: 'float32', dims: [8], offset: 0, length: 32 });
    expect(() => applyPasses(graph, [bindWeights(source)])).toThrow(/"net\/fc\.bias" must be \[7\], is \[8\]/);
  });

  it('names a tensor of integers', () => {
    const other = { dataType: 'int64', dims: [7], offset: 0, length: 56 } as const;
    expect(() => bind(stored('float32', 4).set('fc.bias', other))).toThrow(/"fc\.bias".*holds int64/);
  });

  it('does not match a graph whose weights are there', () => {
    expect(applyPass(tinyResNet(), bindWeights({ file: 'm', tensors: new Map() }))).toBeUndefined();
  });
});
