import { describe, expect, it } from 'vitest';
import { buildArchitecture, type ArchitectureName } from '../../../src/architectures/index.js';
import { int, ints } from '../../../src/graph/attributes.js';
import type { GraphBuilder } from '../../../src/graph/build.js';
import type { Graph } from '../../../src/graph/graph.js';
import { applyPass } from '../../../src/graph/pass.js';
import { foldBatchNorm } from '../../../src/graph/passes/fold-batch-norm.js';
import { plainLayers } from '../../../src/graph/plain-layers.js';
import { findResidualBlocks, innermost, residualBlocks } from '../../../src/graph/residual-blocks.js';
import { renameValues } from '../../../src/graph/rewrite.js';
import { graphOf, narrowNet, output } from '../../support/tiny-graphs.js';

const built = (name: ArchitectureName): Graph => buildArchitecture(name, {});

/** How many blocks each stage has. */
function stagesOf(graph: Graph, size: number): number[] {
  const stages = residualBlocks(graph, size).map(({ stage }) => stage);
  return [...new Set(stages)].map((stage) => stages.filter((each) => each === stage).length);
}

const conv = (b: GraphBuilder, x: string, name: string, channels = 4): string =>
  b.node('Conv', [x, b.parameter(`${name}.weight`, [channels, channels, 3, 3])], {
    name,
    attributes: { pads: ints(1, 1, 1, 1) },
  });
const relu = (b: GraphBuilder, x: string, name = 'relu'): string => b.node('Relu', [x], { name });
const branch = (b: GraphBuilder, x: string, name: string): string =>
  conv(b, relu(b, conv(b, x, `${name}.1`), `${name}.relu`), `${name}.2`);
const net = (make: (b: GraphBuilder, x: string) => string): Graph =>
  graphOf(['N', 4, 6, 6], (b, x) => [output(make(b, x))]);

describe('residual blocks', () => {
  it.each<[ArchitectureName, number, number[]]>([
    ['resnet18', 224, [2, 2, 2, 2]],
    ['resnet50', 224, [3, 4, 6, 3]],
    ['resnet56_cifar', 32, [9, 9, 9]],
    ['resnext50_32x4d', 224, [3, 4, 6, 3]],
    ['preresnet18', 224, [2, 2, 2, 2]],
    ['preresnet110_cifar', 32, [18, 18, 18]],
    ['wide_resnet16_8_cifar', 32, [2, 2, 2]],
    // Keras' blocks have the stride at the end of a stage.
    ['preresnet50_keras', 224, [2, 4, 6, 4]],
    // Inverted residuals: a block that changes the channels has no shortcut.
    ['efficientnet_lite0', 224, [1, 1, 4, 3]],
  ])('of %s are found by their structure', (name, size, stages) => {
    const blocks = residualBlocks(built(name), size);
    expect(stagesOf(built(name), size)).toEqual(stages);
    expect(blocks.every(({ branches, shortcuts }) => branches.length === 1 && shortcuts.length === 1)).toBe(true);
  });

  it('tell name, shape and shortcut', () => {
    const blocks = residualBlocks(built('resnet18'), 224);
    expect(blocks.map(({ name }) => name)).toEqual(
      [1, 2, 3, 4].flatMap((stage) => [`layer${stage}.0`, `layer${stage}.1`]),
    );
    const [first, , third] = blocks;
    expect(first).toMatchObject({ from: [64, 56, 56], to: [64, 56, 56], changesShape: false, downsamples: false });
    expect(first!.shortcuts[0]!.nodes).toEqual([]);
    expect(third).toMatchObject({ from: [64, 56, 56], to: [128, 28, 28], changesShape: true, downsamples: true });
    expect(third!.shortcuts[0]!.nodes.map(({ op }) => op)).toEqual(['Conv', 'BatchNormalization']);
    const bottlenecks = residualBlocks(built('resnet50'), 224);
    expect(bottlenecks[0]).toMatchObject({ changesShape: true, downsamples: false });
  });

  it('have padded shortcuts without weights', () => {
    const blocks = residualBlocks(built('resnet20_cifar'), 32);
    expect(blocks.map(({ changesShape }) => changesShape)).toEqual([0, 0, 0, 1, 0, 0, 1, 0, 0].map(Boolean));
  });

  it('are the same under other names and with batch normalization folded', () => {
    const before = narrowNet('resnet50');
    const renamed = renameValues(before, (name) => (name === 'logits' ? name : `v${name.length}_${name}`));
    const folded = applyPass(renamed, foldBatchNorm())!;
    const anonymous = { ...folded, nodes: folded.nodes.map((node, index) => ({ ...node, name: `n${index}` })) };
    expect(stagesOf(anonymous, 64)).toEqual([3, 4, 6, 3]);
    expect(residualBlocks(anonymous, 64)[6]!.name).toBe('block 7');
  });

  it.each<[string, Graph]>([
    ['a branch of one convolution', net((b, x) => b.node('Add', [conv(b, x, 'a'), x]))],
    ['a sum', net((b, x) => b.node('Sum', [x, branch(b, x, 'a')]))],
    [
      'a scaled branch',
      net((b, x) => b.node('Add', [x, b.node('Mul', [branch(b, x, 'a'), b.constant('s', 'float32', [], [0.1])])])),
    ],
  ])('may have %s', (_, graph) => {
    expect(residualBlocks(graph, 6)).toHaveLength(1);
  });

  it('may have several branches, which are added in any order', () => {
    const graph = net((b, x) =>
      b.node('Add', [branch(b, x, 'a'), b.node('Add', [b.node('Add', [branch(b, x, 'b'), x]), branch(b, x, 'c')])]),
    );
    const [block, ...others] = residualBlocks(graph, 6);
    expect(others).toEqual([]);
    expect(block!.branches).toHaveLength(3);
    expect(block!.shortcuts.map(({ value }) => value)).toEqual(['x']);
    expect(block!.sums).toHaveLength(3);
  });

  it('may stand inside of another, whose shortcut leads around them', () => {
    const graph = net((b, x) => {
      const first = relu(b, b.node('Add', [branch(b, x, 'a'), x]));
      const second = b.node('Add', [branch(b, first, 'b'), first]);
      return b.node('Add', [second, conv(b, x, 'around')]);
    });
    const found = findResidualBlocks(graph, 6);
    expect(found).toHaveLength(1);
    expect(found[0]!.inner.map(({ name }) => name)).toEqual(['a', 'b']);
    expect(innermost(found)).toEqual(found[0]!.inner);
  });

  it.each<[string, Graph]>([
    [
      'a constant that is added',
      net((b, x) => b.node('Add', [branch(b, x, 'a'), b.constant('c', 'float32', [], [1])])),
    ],
    [
      'joined columns with activations',
      net((b, x) => b.node('Mean', [relu(b, conv(b, x, 'a')), relu(b, branch(b, x, 'b'))])),
    ],
    [
      'a gated sum',
      net((b, x) => {
        const gate = b.node('Sigmoid', [conv(b, x, 't')]);
        const rest = b.node('Sub', [b.constant('one', 'float32', [], [1]), gate]);
        return b.node('Add', [b.node('Mul', [branch(b, x, 'a'), gate]), b.node('Mul', [x, rest])]);
      }),
    ],
    ['plain layers', built('plain18')],
  ])('are not %s', (_, graph) => {
    expect(findResidualBlocks(graph, 32)).toEqual([]);
    expect(() => residualBlocks(graph, 32)).toThrow(/has no residual blocks/);
  });

  it.each<ArchitectureName>(['densenet121', 'inception_v3', 'squeezenet1_1'])('are not in %s', (name) => {
    expect(() => residualBlocks(built(name), 299)).toThrow(`${name} has no residual blocks: nothing adds a branch`);
    expect(() => residualBlocks(built(name), 299)).toThrow('by concatenation');
  });
});

describe('layers of equal shape', () => {
  it('are a convolution with what follows it', () => {
    const layers = plainLayers(built('vgg11_bn'), 224);
    expect(layers.map(({ name }) => name)).toEqual(['features.11', 'features.18', 'features.22', 'features.25']);
    expect(layers[0]).toMatchObject({ start: 'features.10', shape: [256, 56, 56] });
    expect(layers.map(({ last }) => last.op)).toEqual(['Relu', 'Relu', 'Relu', 'Relu']);
  });

  it('are none beside a shortcut', () => {
    expect(plainLayers(built('resnet18'), 224)).toEqual([]);
    const graph = graphOf(['N', 4, 6, 6], (b, x) =>
      b.node('Concat', [conv(b, x, 'a'), conv(b, x, 'b')], { attributes: { axis: int(1) } }),
    );
    expect(plainLayers(graph, 6)).toEqual([]);
  });
});
