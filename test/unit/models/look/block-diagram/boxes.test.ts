import { describe, expect, it } from 'vitest';
import { buildArchitecture, nativeForm, type ArchitectureName } from '../../../../../src/architectures/index.js';
import { int } from '../../../../../src/graph/attributes.js';
import { graphBuilder, type GraphBuilder } from '../../../../../src/graph/build.js';
import type { Graph } from '../../../../../src/graph/graph.js';
import { boxesOf, type Box } from '../../../../../src/models/look/block-diagram/boxes.js';

/** A line for each box: its number, its words, the boxes that it reads. */
const lines = (boxes: readonly Box[]): string[] =>
  boxes.map(
    ({ words, from }, index) => `${index} ${words.join(' · ')}${from.length > 0 ? ` < ${from.join(' ')}` : ''}`,
  );

function net(build: (builder: GraphBuilder, x: string) => string): Graph {
  const builder = graphBuilder({ name: 'net' });
  const x = builder.input('image', 'float32', ['N', 4, 8, 8]);
  const y = build(builder, x);
  return builder.finish([{ name: y, dataType: 'float32', dims: [] }]);
}

const conv = (builder: GraphBuilder, x: string, shape: number[], attributes: Record<string, number> = {}): string =>
  builder.node('Conv', [x, builder.parameter(`w${x}${shape.join()}`, shape)], {
    attributes: Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, int(value)])),
  });

const drawn = (graph: Graph): string[] => lines(boxesOf(graph, 8));

const built = (name: ArchitectureName): Box[] => boxesOf(buildArchitecture(name), nativeForm(name).inputSize);

/** The words of the boxes of these names, and the names of what they read. */
function module(name: ArchitectureName, block: string): string[] {
  const boxes = built(name);
  const own = boxes.filter(({ names }) => names.every((each) => each === block || each.startsWith(`${block}.`)));
  return own.map(({ words, from }) => {
    const sources = from.map((source) => own.indexOf(boxes[source]!)).map((at) => (at < 0 ? 'in' : at));
    return `${words.join(' · ')} < ${sources.join(' ')}`;
  });
}

describe('boxesOf', () => {
  it('puts layers that follow each other without a branch into one box', () => {
    const graph = net((builder, x) => {
      const y = builder.node('Relu', [conv(builder, x, [6, 4, 3, 3])]);
      return builder.node('Relu', [conv(builder, y, [6, 6, 1, 1])]);
    });
    expect(boxesOf(graph, 8)).toEqual([
      { kind: 'input', words: ['image'], names: ['image'], from: [], shape: [4, 8, 8] },
      { kind: 'convolution', words: ['conv 3×3, 6', 'ReLU'], names: ['conv', 'relu'], from: [0], shape: [6, 6, 6] },
      { kind: 'convolution', words: ['conv 1×1, 6', 'ReLU'], names: ['conv_1', 'relu_1'], from: [1], shape: [6, 6, 6] },
    ]);
  });

  it('gives an activation a box of its own behind a value that others read, and behind an input', () => {
    const graph = net((builder, x) => {
      const y = conv(builder, x, [4, 4, 1, 1]);
      return builder.node('Add', [builder.node('Relu', [y]), builder.node('Sigmoid', [y])]);
    });
    expect(drawn(graph)).toEqual(['0 image', '1 conv 1×1, 4 < 0', '2 ReLU < 1', '3 sigmoid < 1', '4 + < 2 3']);
    expect(drawn(net((builder, x) => builder.node('Relu', [x])))).toEqual(['0 image', '1 ReLU < 0']);
  });

  it('makes one sum of sums, and no sum of differences or of sums that are read elsewhere', () => {
    const sums = net((builder, x) => {
      const [a, b] = [builder.node('Relu', [x]), builder.node('Tanh', [x])];
      return builder.node('Add', [builder.node('Add', [x, a]), b]);
    });
    expect(drawn(sums)).toEqual(['0 image', '1 ReLU < 0', '2 tanh < 0', '3 + < 0 1 2']);
    const differences = net((builder, x) => {
      const a = builder.node('Relu', [x]);
      return builder.node('Sub', [builder.node('Sub', [x, a]), a]);
    });
    expect(drawn(differences)).toEqual(['0 image', '1 ReLU < 0', '2 − < 0 1', '3 − < 2 1']);
    const twice = net((builder, x) => {
      const a = builder.node('Add', [x, builder.node('Relu', [x])]);
      return builder.node('Add', [a, builder.node('Tanh', [a])]);
    });
    expect(drawn(twice)).toEqual(['0 image', '1 ReLU < 0', '2 + < 0 1', '3 tanh < 2', '4 + < 2 3']);
  });

  it('leaves out constants, sizes and what changes nothing', () => {
    const graph = net((builder, x) => {
      const same = builder.node('Dropout', [builder.node('Identity', [x])]);
      const size = builder.node('Shape', [same]);
      const half = builder.constant('half', 'float32', [], [0.5]);
      const scaled = builder.node('Mul', [conv(builder, same, [4, 4, 1, 1]), half]);
      return builder.node('Reshape', [scaled, size]);
    });
    expect(drawn(graph)).toEqual(['0 image', '1 conv 1×1, 4 · × 0.5 · reshape < 0']);
  });

  it('says groups, strides and dilations, and the operator where it has no word', () => {
    const depthwise = net((builder, x) => conv(builder, x, [4, 1, 3, 3], { group: 4 }));
    expect(drawn(depthwise)).toContain('1 depthwise conv 3×3, 4 < 0');
    const grouped = net((builder, x) => conv(builder, x, [8, 2, 1, 1], { group: 2 }));
    expect(drawn(grouped)).toContain('1 conv 1×1, 8, 2 groups < 0');
    const foreign = net((builder, x) => builder.node('com.example:<b>', [x]));
    expect(drawn(foreign)).toEqual(['0 image', '1 com.example:<b> < 0']);
  });

  it('draws a part with what it reads as its input', () => {
    const graph = net((builder, x) => builder.node('Relu', [conv(builder, x, [6, 4, 3, 3])]));
    expect(boxesOf(graph, 8, ({ op }) => op === 'Relu')).toEqual([
      { kind: 'input', words: ['from conv'], names: ['conv'], from: [], shape: [6, 6, 6] },
      { kind: 'activation', words: ['ReLU'], names: ['relu'], from: [0], shape: [6, 6, 6] },
    ]);
  });
});

describe('the blocks of the architectures', () => {
  it.each<[string, ArchitectureName, string, string[]]>([
    [
      'a basic residual block',
      'resnet18',
      'layer1.0',
      ['conv 3×3, 64 · BN · ReLU < in', 'conv 3×3, 64 · BN < 0', '+ < 1 in', 'ReLU < 2'],
    ],
    [
      "ResNeXt's grouped block",
      'resnext50_32x4d',
      'layer1.1',
      [
        'conv 1×1, 128 · BN · ReLU < in',
        'conv 3×3, 128, 32 groups · BN · ReLU < 0',
        'conv 1×1, 256 · BN < 1',
        '+ < 2 in',
        'ReLU < 3',
      ],
    ],
    [
      'an Inception module of four branches',
      'googlenet',
      'inception3a',
      [
        'conv 1×1, 64 · BN · ReLU < in',
        'conv 1×1, 96 · BN · ReLU < in',
        'conv 3×3, 128 · BN · ReLU < 1',
        'conv 1×1, 16 · BN · ReLU < in',
        'conv 3×3, 32 · BN · ReLU < 3',
        'max pool 3×3 < in',
        'conv 1×1, 32 · BN · ReLU < 5',
        'concat < 0 2 4 6',
      ],
    ],
    [
      'a dense layer',
      'densenet121',
      'features.denseblock1.denselayer2',
      ['BN · ReLU < in', 'conv 1×1, 128 · BN · ReLU < 0', 'conv 3×3, 32 < 1', 'concat < in 2'],
    ],
    [
      'a highway layer',
      'highway19_cifar',
      'conv2',
      ['conv 3×3, 32 · ReLU < in', 'conv 3×3, 32 · sigmoid < in', '− < 0 in', '× < 2 1', '+ < in 3'],
    ],
  ])('has %s', (_, name, block, expected) => {
    expect(module(name, block)).toEqual(expected);
  });

  it('joins the three terms of a poly-3 module and its input in one sum', () => {
    const boxes = module('polynet', 'stage_b.0');
    expect(boxes.filter((box) => box.startsWith('+'))).toEqual([expect.stringMatching(/^\+ < in \d+ \d+ \d+$/)]);
  });

  it('leads the image past the localization net of a spatial transformer', () => {
    const boxes = built('stn_mnist');
    expect(boxes.find(({ words }) => words[0] === 'sample at places')?.from[0]).toBe(0);
  });

  it('has ReLU6 in mobile nets', () => {
    expect(built('efficientnet_lite0')[1]?.words).toEqual(['conv 3×3, 32, stride 2', 'BN', 'ReLU6']);
  });
});
