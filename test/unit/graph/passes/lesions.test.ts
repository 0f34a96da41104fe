/** The passes that take a net apart: what they leave computes what the rest of the net computes. */
import { describe, expect, it } from 'vitest';
import { ints } from '../../../../src/graph/attributes.js';
import type { GraphBuilder } from '../../../../src/graph/build.js';
import type { Graph } from '../../../../src/graph/graph.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { deleteBlock } from '../../../../src/graph/passes/delete-block.js';
import { deleteLayer } from '../../../../src/graph/passes/delete-layer.js';
import { foldBatchNorm } from '../../../../src/graph/passes/fold-batch-norm.js';
import { permuteBlocks } from '../../../../src/graph/passes/permute-blocks.js';
import { plainLayers } from '../../../../src/graph/plain-layers.js';
import { residualBlocks } from '../../../../src/graph/residual-blocks.js';
import { expectClose, randomTensor, runGraph, type Value } from '../../../support/ort.js';
import { graphOf, narrowNet, output } from '../../../support/tiny-graphs.js';

const SIDE = 6;
const x = randomTensor([2, 4, SIDE, SIDE]);
const run = async (graph: Graph, input: Value = x): Promise<Value> =>
  Object.values(await runGraph(graph, { [graph.inputs[0]!.name]: input }))[0]!;

const conv = (b: GraphBuilder, value: string, name: string): string =>
  b.node('Conv', [value, b.parameter(`${name}.weight`, [4, 4, 3, 3])], { attributes: { pads: ints(1, 1, 1, 1) } });

type Block = (b: GraphBuilder, value: string, name: string) => string;
const residual: Block = (b, value, name) =>
  b.node('Relu', [b.node('Add', [conv(b, b.node('Tanh', [conv(b, value, `${name}.1`)]), `${name}.2`), value])]);
const projected: Block = (b, value, name) => {
  const branch = conv(b, b.node('Tanh', [conv(b, value, `${name}.1`)]), `${name}.2`);
  return b.node('Relu', [b.node('Add', [branch, conv(b, value, `${name}.shortcut`)])]);
};
const twofold: Block = (b, value, name) => {
  const [one, other] = ['1', '2'].map((each) => b.node('Tanh', [conv(b, value, `${name}.${each}`)]));
  return b.node('Relu', [b.node('Add', [b.node('Add', [one!, value]), other!])]);
};
/** Blocks one behind the other, each a function and its name. */
const chain = (...blocks: readonly (readonly [Block, string])[]): Graph =>
  graphOf(['N', 4, SIDE, SIDE], (b, input) => [
    output(blocks.reduce((value, [block, name]) => block(b, value, name), input)),
  ]);
/** What a block leaves without its branches. */
const shortcutOnly: Block = (b, value, name) =>
  b.node('Relu', [name === 'projected' ? conv(b, value, `${name}.shortcut`) : b.node('Identity', [value])]);

describe('delete-block', () => {
  it.each<[string, Block]>([
    ['residual', residual],
    ['projected', projected],
    ['twofold', twofold],
  ])('leaves the shortcut of a %s block', async (name, block) => {
    const graph = chain([residual, 'a'], [block, name], [residual, 'c']);
    const [, middle] = residualBlocks(graph, SIDE);
    const lesioned = applyPasses(graph, [deleteBlock(middle!)]);
    expect(lesioned.nodes.length).toBeLessThan(graph.nodes.length);
    expectClose(await run(lesioned), await run(chain([residual, 'a'], [shortcutOnly, name], [residual, 'c'])));
  });

  it('deletes several blocks found in one graph, in any order', async () => {
    const graph = chain([residual, 'a'], [residual, 'b'], [projected, 'projected'], [residual, 'd']);
    const [, second, third] = residualBlocks(graph, SIDE);
    const expected = chain([residual, 'a'], [shortcutOnly, 'b'], [shortcutOnly, 'projected'], [residual, 'd']);
    for (const blocks of [
      [second!, third!],
      [third!, second!],
    ]) {
      expectClose(await run(applyPasses(graph, blocks.map(deleteBlock))), await run(expected));
    }
  });

  it('works on every kind of residual net', async () => {
    for (const name of [
      'resnet18',
      'preresnet18',
      'resnet20_cifar',
      'wide_resnet16_8_cifar',
      'preresnet50_keras',
    ] as const) {
      const graph = narrowNet(name);
      const image = randomTensor([1, 3, 32, 32]);
      const whole = await run(graph, image);
      for (const block of residualBlocks(graph, 32).slice(0, 3)) {
        const lesioned = await run(applyPasses(graph, [deleteBlock(block)]), image);
        expect(lesioned.dims).toEqual(whole.dims);
        expect(lesioned.data).not.toEqual(whole.data);
      }
    }
  });

  it('does not match a graph without the block', () => {
    const [block] = residualBlocks(chain([residual, 'a']), SIDE);
    const other = graphOf(['N', 4, SIDE, SIDE], (b, input) => [output(b.node('Tanh', [input]))]);
    expect(applyPass(other, deleteBlock(block!))).toBeUndefined();
  });
});

describe('delete-layer', () => {
  it('leaves out convolution, normalization and activation', async () => {
    const layer: Block = (b, value, name) => b.node('Relu', [b.node('Tanh', [conv(b, value, name)])]);
    const graph = chain([layer, 'a'], [layer, 'b'], [layer, 'c']);
    const [, middle] = plainLayers(graph, SIDE);
    const lesioned = applyPasses(graph, [deleteLayer(middle!)]);
    expectClose(await run(lesioned), await run(chain([layer, 'a'], [layer, 'c'])));
    expect(
      applyPass(chain([layer, 'other']), deleteLayer({ ...middle!, last: { ...middle!.last, name: '' } })),
    ).toBeUndefined();
  });
});

describe('permute-blocks', () => {
  const graph = chain([residual, 'a'], [residual, 'b'], [twofold, 'c']);
  const blocks = residualBlocks(graph, SIDE);

  it('puts each block where the order says', async () => {
    for (const order of [
      [1, 0, 2],
      [2, 1, 0],
      [1, 2, 0],
    ]) {
      const named = [[residual, 'a'] as const, [residual, 'b'] as const, [twofold, 'c'] as const];
      const expected = chain(...order.map((index) => named[index]!));
      expectClose(await run(applyPasses(graph, [permuteBlocks(blocks, order)])), await run(expected));
    }
  });

  it('takes weights along that nodes compute', async () => {
    const normalized = narrowNet('resnet20_cifar');
    const folded = applyPasses(normalized, [foldBatchNorm()]);
    const image = randomTensor([1, 3, 32, 32]);
    const [before, after] = await Promise.all(
      [normalized, folded].map((each) =>
        run(applyPasses(each, [permuteBlocks(residualBlocks(each, 32).slice(0, 3), [2, 0, 1])]), image),
      ),
    );
    expectClose(after, before, 1e-3, 1e-4);
  });

  it('does not match where no block moves', () => {
    expect(applyPass(graph, permuteBlocks(blocks, [0, 1, 2]))).toBeUndefined();
  });

  it('refuses blocks of unlike shape, and branches that are read elsewhere', () => {
    const unlike = chain([residual, 'a'], [projected, 'b']);
    expect(() => applyPass(unlike, permuteBlocks(residualBlocks(unlike, SIDE), [1, 0]))).toThrow(
      /shapes differ or change/,
    );
    const read = { ...graph, outputs: [...graph.outputs, output(blocks[0]!.branches[0]!.value)] };
    expect(() => applyPass(read, permuteBlocks(residualBlocks(read, SIDE), [1, 0, 2]))).toThrow(
      /read outside of the block/,
    );
  });
});
