import { describe, expect, it } from 'vitest';
import { buildArchitecture, nativeForm, type ArchitectureName } from '../../../../../src/architectures/index.js';
import { boxesOf, type Box } from '../../../../../src/models/look/block-diagram/boxes.js';
import { foldRepeats, soleCuts, type FoldedNet } from '../../../../../src/models/look/block-diagram/fold.js';

const layer = (words: string, ...from: number[]): Box => ({
  kind: 'convolution',
  words: [words],
  names: [],
  from,
  shape: undefined,
});
const join = (...from: number[]): Box => ({ ...layer('+', ...from), kind: 'join' });

const folded = (name: ArchitectureName): FoldedNet =>
  foldRepeats(boxesOf(buildArchitecture(name), nativeForm(name).inputSize));

/** The words of the folded blocks and how often each is there. */
const foldsOf = ({ boxes, folds }: FoldedNet): string[] =>
  folds.map(({ first, last, times }) => {
    const block = boxes.slice(first, last + 1).map(({ words }) => words.join(' · '));
    return `${times} × (${block.join(', ')})`;
  });

describe('soleCuts', () => {
  it('are where one value alone goes on', () => {
    expect(soleCuts([layer('a'), layer('b', 0), join(1, 0), layer('c', 2)])).toEqual([0, 2, 3]);
  });
});

describe('foldRepeats', () => {
  it('keeps the first of equal blocks, and leads to it what read the last', () => {
    const line = [layer('in'), layer('a', 0), layer('a', 1), layer('a', 2), layer('b', 3)];
    expect(foldRepeats(line)).toEqual({
      boxes: [layer('in'), layer('a', 0), layer('b', 1)],
      folds: [{ first: 1, last: 1, times: 3 }],
    });
  });

  it('folds pairs that alternate', () => {
    const line = [layer('in'), layer('a', 0), layer('b', 1), layer('a', 2), layer('b', 3), layer('a', 4)];
    expect(foldsOf(foldRepeats(line))).toEqual(['2 × (a, b)']);
  });

  it('folds no blocks that read something else', () => {
    const wired = [layer('in'), layer('a', 0), join(1, 0), layer('a', 2), join(3, 0)];
    expect(foldRepeats(wired)).toEqual({ boxes: wired, folds: [] });
  });

  it('folds blocks below a shortcut around them all', () => {
    const block = (input: number): Box[] => [layer('a', input), join(input + 1, input)];
    const stage = [layer('in'), layer('way', 0), layer('first', 0), ...block(2), ...block(4), ...block(6)];
    // The boxes of a block read the block before: 2, 4, 6.
    expect(foldsOf(foldRepeats([...stage, join(8, 1)]))).toEqual(['3 × (a, +)']);
  });

  it('says from where to where sizes and constants go', () => {
    const scaled = (channels: number, factor: number, ...from: number[]): Box => ({
      ...layer('a', ...from),
      words: ['a', `× ${factor}`],
      shape: [channels, 7, 7],
    });
    const { boxes } = foldRepeats([layer('in'), scaled(8, 1, 0), scaled(16, 0.5, 1), scaled(24, 0.25, 2)]);
    expect(boxes[1]).toMatchObject({ words: ['a', '× 1…0.25'], shape: ['8…24', 7, 7] });
  });

  it.each<[ArchitectureName, string[]]>([
    ['resnet18', ['2 × (conv 3×3, 64 · BN · ReLU, conv 3×3, 64 · BN, +, ReLU)']],
    [
      'resnet50',
      [64, 128, 256, 512].map(
        (width, stage) =>
          `${[2, 3, 5, 2][stage]} × (conv 1×1, ${width} · BN · ReLU, conv 3×3, ${width} · BN · ReLU, ` +
          `conv 1×1, ${4 * width} · BN, +, ReLU)`,
      ),
    ],
    [
      'densenet121',
      [6, 12, 24, 16].map((times) => `${times} × (BN · ReLU, conv 1×1, 128 · BN · ReLU, conv 3×3, 32, concat)`),
    ],
    [
      'vgg11',
      [
        '2 × (conv 3×3, 256 · ReLU)',
        '2 × (max pool 2×2, stride 2, conv 3×3, 512 · ReLU, conv 3×3, 512 · ReLU)',
        '2 × (fully connected, 4096 · ReLU)',
      ],
    ],
    // All blocks of a stage but the first, whose input is the stage's, and the last, whose sum is the stage's.
    [
      'ror3_110_cifar',
      [16, 32, 64].map((width) => `15 × (conv 3×3, ${width} · BN · ReLU, conv 3×3, ${width} · BN, +, ReLU)`),
    ],
  ])('folds %s', (name, expected) => {
    expect(foldsOf(folded(name))).toEqual(expected);
  });

  it.each([
    'fractalnet80_thin_cifar100',
    'inception_resnet_v2',
    'multi_resnet50_k2',
    'pre_ror3_164_cifar',
    'polynet',
  ] satisfies ArchitectureName[])('loses no box of %s', (name) => {
    const boxes = boxesOf(buildArchitecture(name), nativeForm(name).inputSize);
    const net = foldRepeats(boxes);
    const hidden = net.folds.reduce((sum, { first, last, times }) => sum + (last - first + 1) * (times - 1), 0);
    expect(net.boxes.length + hidden).toBe(boxes.length);
    for (const [position, { from }] of net.boxes.entries()) {
      expect(from.every((source) => source < position)).toBe(true);
    }
  });
});
