import { describe, expect, it } from 'vitest';
import { buildArchitecture, type ArchitectureName } from '../../../src/architectures/index.js';
import { graphBuilder } from '../../../src/graph/build.js';
import { pathLengths } from '../../../src/graph/path-lengths.js';

describe('the ways through', () => {
  it.each<[ArchitectureName, number, number]>([
    // No shortcut: the layers of the name.
    ['vgg16', 16, 16],
    ['plain20_cifar', 20, 20],
    // Stem, head, and the projections of three stages; or every block.
    ['resnet18', 5, 18],
    ['resnet50', 6, 50],
    // A shortcut from the input's own block to the head: the first convolution, three transitions, the head.
    ['densenet121', 5, 121],
    // The shortest column has one convolution in each of five blocks, the longest four; and the head.
    ['fractalnet20_cifar', 6, 21],
    // The root shortcut: stem, projection, head; or two layers in each of 24 blocks.
    ['ror3_56_cifar', 3, 50],
    ['squeezenet1_1', 18, 18],
  ])('%s have from %d to %d layers', (name, shortest, longest) => {
    expect(pathLengths(buildArchitecture(name))).toEqual({ shortest, longest });
  });

  it('are none where the output does not come from an input', () => {
    const builder = graphBuilder({ name: 'constant' });
    builder.input('input', 'float32', ['N', 3]);
    const value = builder.parameter('weight', [3]);
    const output = builder.node('Relu', [value], { name: 'relu' });
    const graph = builder.finish([{ name: output, dataType: 'float32', dims: [3] }]);
    expect(() => pathLengths(graph)).toThrow('no way leads from an input to the output');
  });
});
