import { describe, expect, it } from 'vitest';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { convolutionalizeGlobalPool } from '../../../../src/graph/passes/convolutionalize-global-pool.js';
import { selectClasses } from '../../../../src/graph/passes/select-classes.js';
import { expectClose, randomTensor, runGraph, spatialMean, type Value } from '../../../support/ort.js';
import { CLASSES, tinyResNet } from '../../../support/tiny-graphs.js';

const K = CLASSES;
const convolutional = applyPasses(tinyResNet(), [convolutionalizeGlobalPool()]);
const dense = applyPasses(convolutional, [selectClasses()]);
const input = randomTensor([2, 3, 80, 49]);
const [H, W] = [5, 4];

const classesOf = (...rows: number[][]): Value => ({
  dims: [rows.length, rows[0]!.length],
  data: BigInt64Array.from(rows.flat(), BigInt),
});

/** Class indices from the best to the worst, for each image. */
function ranking({ dims, data }: Value): number[][] {
  return Array.from({ length: dims[0]! }, (_, image) => {
    const row = Array.from(data.slice(image * K, (image + 1) * K), Number);
    return row.map((_, index) => index).sort((a, b) => row[b]! - row[a]!);
  });
}

/** The logits of all classes at each position: [image][position][class]. */
function byPosition({ data }: Value): number[][][] {
  const at = (n: number, p: number, k: number) => Number(data[(n * K + k) * H * W + p]);
  return [0, 1].map((n) => Array.from({ length: H * W }, (_, p) => Array.from({ length: K }, (_, k) => at(n, p, k))));
}

describe('selectClasses', () => {
  it('gives the mean of the class map as logits', async () => {
    const { class_map: map } = await runGraph(convolutional, { input });
    const { logits } = await runGraph(dense, { input, classes: classesOf([0], [0]) });
    expectClose(logits, spatialMean(map!));
  });

  it('selects by index and by rank, for each image its own, duplicates kept', async () => {
    const { class_map: map } = await runGraph(convolutional, { input });
    const results = await runGraph(dense, { input, classes: classesOf([3, K, K + 1, 3], [K + 4, 0, K, 6]) });
    const [first, second] = ranking(spatialMean(map!));
    const expected = [
      [3, first![0]!, first![1]!, 3],
      [second![4]!, 0, second![0]!, 6],
    ];
    expectClose(results['classes_selected'], classesOf(...expected));

    const planes = expected.flatMap((row, image) =>
      row.flatMap((k) => Array.from(map!.data.slice((image * K + k) * H * W, (image * K + k + 1) * H * W), Number)),
    );
    expectClose(results['class_logits'], { dims: [2, 4, H, W], data: Float32Array.from(planes) });
  });

  it('gives the normalizer of logits divided by a temperature, and leaves the logits', async () => {
    const temperature = 1.7;
    const feeds = { input, classes: classesOf([0], [0]) };
    const { log_normalizer: plain, ...before } = await runGraph(dense, feeds);
    const { log_normalizer: normalizer, ...after } = await runGraph(
      applyPasses(convolutional, [selectClasses({ temperature })]),
      feeds,
    );
    expect(after).toEqual(before);
    const { class_map: map } = await runGraph(convolutional, { input });
    const sums = byPosition(map!)
      .flat()
      .map((row) => Math.log(row.reduce((sum, logit) => sum + Math.exp(logit / temperature), 0)));
    expectClose(normalizer, { dims: plain!.dims, data: Float32Array.from(sums) });
  });

  it('gives the normalizer of the softmax over all classes, and the best class of each position', async () => {
    const { class_map: map } = await runGraph(convolutional, { input });
    const results = await runGraph(dense, { input, classes: classesOf([0], [0]) });
    const positions = byPosition(map!).flat();
    const logSumExp = positions.map((row) => Math.log(row.reduce((sum, z) => sum + Math.exp(z), 0)));
    const best = positions.map((row) => Math.max(...row));
    const classes = positions.map((row, index) => row.indexOf(best[index]!));
    expectClose(results['log_normalizer'], { dims: [2, 1, H, W], data: Float32Array.from(logSumExp) });
    expectClose(results['best_logit'], { dims: [2, H, W], data: Float32Array.from(best) });
    expectClose(results['best_class'], { dims: [2, H, W], data: Int32Array.from(classes) });
  });

  it('stays finite for logits that overflow the exponential', async () => {
    const huge = { ...input, data: Float32Array.from(input.data as Float32Array, (x) => x * 1e5) };
    const { log_normalizer: normalizer, best_logit: best } = await runGraph(dense, {
      input: huge,
      classes: classesOf([0], [0]),
    });
    expect(Math.max(...Array.from(best!.data, Number))).toBeGreaterThan(1000);
    expectClose({ ...normalizer!, dims: [2, H, W] }, best, 1e-3);
  });

  it('caps the ranks at the number of classes', async () => {
    const graph = applyPasses(convolutional, [selectClasses({ ranks: 100 })]);
    const worst = classesOf([2 * K - 1], [2 * K - 1]);
    const results = await runGraph(graph, { input, classes: worst });
    expectClose(results['classes_selected'], classesOf(...ranking(results['logits']!).map((row) => [row.at(-1)!])));
  });

  it('is the same for an image alone as in a batch', async () => {
    const alone = { dims: [1, ...input.dims.slice(1)], data: (input.data as Float32Array).slice(0, 3 * 80 * 49) };
    const together = await runGraph(dense, { input, classes: classesOf([K, 1], [2, K]) });
    const single = await runGraph(dense, { input: alone, classes: classesOf([K, 1]) });
    for (const [name, value] of Object.entries(single)) {
      const half = together[name]!.data.slice(0, value.data.length);
      expectClose({ dims: value.dims, data: half }, value);
    }
  });

  it('does not match a graph that ends in logits', () => {
    expect(applyPass(tinyResNet(), selectClasses())).toBeUndefined();
  });
});
