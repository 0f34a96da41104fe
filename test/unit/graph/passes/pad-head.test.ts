import { describe, expect, it } from 'vitest';
import { mapGeometry } from '../../../../src/graph/geometry.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { CLASS_MAP, convolutionalizeGemm } from '../../../../src/graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../../../../src/graph/passes/convolutionalize-global-pool.js';
import { headPads, padHead } from '../../../../src/graph/passes/pad-head.js';
import { reduceOutputStride } from '../../../../src/graph/passes/reduce-output-stride.js';
import { selectClasses } from '../../../../src/graph/passes/select-classes.js';
import { expectClose, randomTensor, runGraph, spatialMean, type Value } from '../../../support/ort.js';
import { CLASSES, narrowNet, tinyResNet, tinyVgg } from '../../../support/tiny-graphs.js';

const mapOf = async (graph: typeof valid, input: Value): Promise<Value> =>
  (await runGraph(graph, { input }))[CLASS_MAP]!;

/** Rows and columns from `begin` on, without the last `end`, every `step`-th, of [1, c, h, w]. */
function cellsOf({ dims, data }: Value, { begin, end, step }: { begin: number; end: number; step: number }): Value {
  const [, channels = 0, height = 0, width = 0] = dims;
  const range = (size: number) =>
    Array.from({ length: size }, (_, cell) => cell).filter(
      (cell) => cell >= begin && cell < size - end && (cell - begin) % step === 0,
    );
  const [rows, columns] = [range(height), range(width)];
  const values = Array.from({ length: channels }, (_, c) =>
    rows.map((y) => columns.map((x) => Number(data[(c * height + y) * width + x]))),
  );
  return { dims: [1, channels, rows.length, columns.length], data: Float32Array.from(values.flat(2)) };
}

const valid = applyPasses(tinyVgg(), [convolutionalizeGemm(64)]);
const same = applyPasses(valid, [padHead()]);
const seven = applyPasses(narrowNet('vgg11'), [convolutionalizeGemm(224)]);

describe('padHead', () => {
  it.each([
    ['a 4×4', valid, { begin: 1, end: 2 }, [96, 130], [6, 8]],
    ['a 7×7', seven, { begin: 3, end: 3 }, [256, 300], [8, 9]],
  ] as const)('covers the last map with %s head, and changes no window inside', async (_, net, pads, size, cells) => {
    const padded = applyPasses(net, [padHead()]);
    expect(headPads(net)).toEqual(pads);
    const input = randomTensor([1, 3, ...size]);
    const map = await mapOf(padded, input);
    expect(map.dims).toEqual([1, CLASSES, ...cells]);
    expectClose(cellsOf(map, { ...pads, step: 1 }), await mapOf(net, input));
  });

  it('moves the first window out by as many strides as there are cells of padding', () => {
    const [inside, outside] = [valid, same].map((graph) => mapGeometry(graph, CLASS_MAP));
    expect(outside).toEqual({ ...inside, offset: inside!.offset - 16 });
  });

  it.each([8, 4])('keeps the windows at output stride %i, by which the image is classified', async (outputStride) => {
    const step = 16 / outputStride;
    const fine = applyPasses(same, [reduceOutputStride(outputStride)]);
    const cells = { begin: step, end: 2 * step, step };
    const input = randomTensor([1, 3, 100, 83]);
    const coarse = await mapOf(valid, input);
    expectClose(cellsOf(await mapOf(fine, input), cells), coarse);

    const classes: Value = { dims: [1, 1], data: BigInt64Array.of(0n) };
    const dense = applyPasses(fine, [selectClasses({ cells })]);
    expectClose((await runGraph(dense, { input, classes }))['logits'], spatialMean(coarse));
  });

  it('does not match a head of 1×1, nor one that is padded already', () => {
    const pooled = applyPasses(tinyResNet(), [convolutionalizeGlobalPool()]);
    for (const graph of [pooled, same]) {
      expect(applyPass(graph, padHead())).toBeUndefined();
      expect(headPads(graph)).toBeUndefined();
    }
  });
});
