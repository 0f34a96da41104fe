/** Questions over several runs: what is run how often, and that the answer is the mean. */
import { setImmediate } from 'node:timers/promises';
import sharp from 'sharp';
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { heatmap, type ImageHeatmaps } from '../../../src/inference/heatmap.js';
import type { InputOptions } from '../../../src/inference/plan.js';
import { segment, type Segmentation } from '../../../src/inference/segment.js';
import { UNLABELLED } from '../../../src/maps/label-map.js';
import type { ScoreKind } from '../../../src/maps/scores.js';
import { denseView, type CompiledModel } from '../../../src/models/compile.js';
import type { Size } from '../../../src/models/input-size.js';
import { fakeInference, NOBODY_LEAVES, type FakeInference, type FakeNet } from '../../support/fake-dense-net.js';

const SIDE = 256;
const STRIDE = 4;
const CELLS = SIDE / STRIDE;
const AS_IT_IS = { fit: 'native', scales: [1], flip: false } as const;
const MIRRORED = { ...AS_IT_IS, flip: true } as const;

/** Red rises from left to right, in steps that are not even, so that the mirror image is another photo. */
const redAt = (x: number): number => Math.floor((x * x) / SIDE);
let bytes: Buffer;
beforeAll(async () => {
  const pixels = Buffer.from(Array.from({ length: SIDE * SIDE }, (_, at) => [redAt(at % SIDE), 0, 0]).flat());
  bytes = await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .png()
    .toBuffer();
});

/** A class for each stretch of 32 reds; no red is as far from one class as from another. */
const netOf = (classes: number): FakeNet => ({
  classes,
  stride: STRIDE,
  logitAt: (index, red) => -Math.abs(red - 16.3 - 32 * index) / 8,
});

async function segmentOf(
  { inference, model }: FakeInference,
  input: InputOptions,
  minProbability = 0,
  scores?: ScoreKind,
): Promise<Segmentation> {
  const images = [{ name: 'photo', bytes }];
  const { results } = await segment(inference, model, images, { ...input, scores, minProbability }, NOBODY_LEAVES);
  return results[0] as Segmentation;
}

/** The probability of a class at a column of cells. */
function probabilityAt({ classes, logitAt }: FakeNet, index: number, red: number): number {
  const exponentials = Array.from({ length: classes }, (_, other) => Math.exp(logitAt(other, red, SIDE)));
  return exponentials[index]! / exponentials.reduce((sum, value) => sum + value, 0);
}

/** Red at the centre of a column's cells, and in the mirror image at the same place of the photo. */
const redsOf = (column: number): [number, number] => {
  const x = column * STRIDE + STRIDE / 2;
  const mirroredBack = SIDE - 1 - ((CELLS - 1 - column) * STRIDE + STRIDE / 2);
  return [redAt(x), redAt(mirroredBack)];
};

function meanAt(net: FakeNet, index: number, column: number): number {
  const [plain, mirrored] = redsOf(column);
  return (probabilityAt(net, index, plain) + probabilityAt(net, index, mirrored)) / 2;
}

function expectedRow(net: FakeNet, minProbability: number): number[] {
  return Array.from({ length: CELLS }, (_, column) => {
    // The eight that are in the photo; others of a larger net are further off from every red.
    const means = Array.from({ length: 8 }, (__, index) => meanAt(net, index, column));
    const best = Math.max(...means);
    return best < minProbability ? UNLABELLED : means.indexOf(best);
  });
}

function firstRow({ labels }: Segmentation): number[] {
  return Array.from(labels.values.subarray(0, labels.width));
}

describe('several images', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('are planned in slices: those whose plans take long have turns of the event loop for themselves', async () => {
    const { inference, model } = fakeInference(netOf(8));
    // A clock on which each plan takes four milliseconds, and nothing else any time.
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    const view = denseView(model, {});
    let turn = 0;
    /** The turn of each plan. */
    const plans: number[] = [];
    const slow = {
      ...view,
      mapSize(input: Size) {
        now += 4;
        plans.push(turn);
        return view.mapSize(input);
      },
    };
    const slowModel = { ...model, dense: { ...model.dense, view: () => slow } } as unknown as CompiledModel;
    const images = Array.from({ length: 6 }, (_, i) => ({ name: `photo ${i}`, bytes }));
    const answering = segment(inference, slowModel, images, { ...AS_IT_IS, minProbability: 0 }, NOBODY_LEAVES);
    while (plans.length < images.length) {
      await setImmediate();
      turn += 1;
    }
    expect((await answering).results).toHaveLength(6);
    const most = Math.max(...plans.map((one) => plans.filter((other) => other === one).length));
    expect(most).toBeLessThanOrEqual(2);
  });
});

describe('segment over several runs', () => {
  it('runs every variant once, decodes its input once, and labels by the mean of the runs', async () => {
    const net = netOf(8);
    const fake = fakeInference(net);
    const segmentation = await segmentOf(fake, MIRRORED);
    const every = [0, 1, 2, 3, 4, 5, 6, 7];
    expect(fake.runs).toEqual([
      { width: SIDE, classes: every },
      { width: SIDE, classes: every },
    ]);
    expect(fake.decoded.count).toBe(1);
    expect(firstRow(segmentation)).toEqual(expectedRow(net, 0));
    expect(segmentation.timing).toMatchObject({ inferMs: 4, batchSize: 1 });
    expect(segmentation.timing.queueMs).toBeGreaterThanOrEqual(1);
  });

  it('refuses a model of more classes than there are labels', async () => {
    const fake = fakeInference({ ...netOf(65_536), stride: 128 });
    await expect(segmentOf(fake, AS_IT_IS)).rejects.toMatchObject({
      code: 'OUTPUT_UNSUPPORTED',
      message: 'fake has 65536 classes; a label map has 65535 at most.',
    });
    expect(fake.runs).toHaveLength(0);
  });

  it('leaves positions unlabelled whose best mean is below the least probability', async () => {
    const net = netOf(8);
    const row = firstRow(await segmentOf(fakeInference(net), MIRRORED, 0.7));
    expect(row).toContain(UNLABELLED);
    expect(row).toEqual(expectedRow(net, 0.7));
  });

  it.each([
    ['probability', [0, 0]],
    ['logit', [2, UNLABELLED]],
  ] as const)('labels by the mean %s; the least probability is of the mean probability', async (scores, labels) => {
    const probabilities = new Map([
      [SIDE, [0.9, 0.05, 0.05]],
      [SIDE / 2, [0.02, 0.3, 0.68]],
    ]);
    const net: FakeNet = {
      classes: 3,
      stride: STRIDE,
      logitAt: (index, _red, width) => Math.log(probabilities.get(width)![index]!),
    };
    const input = { ...AS_IT_IS, scales: [1, 0.5] };
    // The mean probabilities are 0.46, 0.175 and 0.365, those of the logits 0.018, 0.015 and 0.034 under their root.
    for (const [at, least] of [0.36, 0.37].entries()) {
      const row = firstRow(await segmentOf(fakeInference(net), input, least, scores));
      expect(new Set(row)).toEqual(new Set([labels[at]]));
    }
  });

  it('runs again for the candidates, decoded again, where the maps of every class are too much', async () => {
    const net = netOf(600);
    const fake = fakeInference(net);
    const segmentation = await segmentOf(fake, MIRRORED);
    expect(fake.runs.map(({ classes }) => classes.length)).toEqual([1, 1, 8, 8]);
    expect([...fake.runs[2]!.classes].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(fake.decoded.count).toBe(2);
    expect(firstRow(segmentation)).toEqual(expectedRow(net, 0));
    expect(segmentation.timing.inferMs).toBe(8);
  });

  it('does not run again where all runs see one class, whose map has left them already', async () => {
    const fake = fakeInference({ classes: 600, stride: STRIDE, logitAt: (index) => (index === 7 ? 5 : 0) });
    const { classes } = await segmentOf(fake, MIRRORED);
    expect(fake.runs).toHaveLength(2);
    expect(classes.map(({ index, share }) => [index, share])).toEqual([[7, 1]]);
  });

  it('asks a single run for no more than the graph wants', async () => {
    const fake = fakeInference(netOf(8));
    await segmentOf(fake, AS_IT_IS);
    expect(fake.runs).toEqual([{ width: SIDE, classes: [8] }]);
  });
});

describe('the best class of several runs', () => {
  /** Class 1 is best at the photo’s own size, class 0 by more in wide inputs. */
  const torn: FakeNet = {
    classes: 3,
    stride: STRIDE,
    logitAt: (index, _, width) => [width > SIDE ? 9 : 0, 1, -5][index]!,
  };
  const ask = async (classes: readonly number[], scales: readonly number[]) => {
    const fake = fakeInference(torn);
    const options = { fit: 'native', scales, flip: false, scores: 'logit', classes } as const;
    const { results } = await heatmap(fake.inference, fake.model, [{ name: 'photo', bytes }], options, NOBODY_LEAVES);
    return { ...fake, maps: (results[0] as ImageHeatmaps).classes };
  };

  it('is that of all together; only the runs that had another best are repeated, decoded again', async () => {
    const { runs, decoded, maps } = await ask([3], [1, 2]);
    expect(runs).toHaveLength(3);
    expect(runs[2]).toEqual({ width: SIDE, classes: [0] });
    expect(decoded.count).toBe(3);
    expect(maps.map(({ index }) => index)).toEqual([0]);
    expect(maps[0]!.map.values.every((value) => Math.abs(value - 4.5) < 1e-6)).toBe(true);
  });

  it('repeats nothing where the runs have the same best classes, in whatever order', async () => {
    const { runs, maps } = await ask([3, 4], [1, 2]);
    expect(runs).toHaveLength(2);
    expect(maps.map(({ index }) => index)).toEqual([0, 1]);
  });

  it('repeats nothing for the best of each position, which every run has', async () => {
    const { runs, maps } = await ask([-1], [1, 2]);
    expect(runs).toHaveLength(2);
    expect(maps[0]!.map.values.every((value) => value === 5)).toBe(true);
  });
});

describe('maps that are too large together', () => {
  const ask = (photos: number, values: number) => {
    const fake = fakeInference(netOf(8));
    const images = Array.from({ length: photos }, () => ({ name: 'photo', bytes }));
    const options = { ...AS_IT_IS, scores: 'probability', classes: [0, 1], maxValues: { values } } as const;
    return { ...fake, answer: heatmap(fake.inference, fake.model, images, options, NOBODY_LEAVES) };
  };

  it('fail the request, not one image of it', async () => {
    const fits = await ask(3, 3 * 2 * CELLS * CELLS).answer;
    expect(fits.results.every((result) => 'classes' in result)).toBe(true);
    await expect(ask(3, 3 * 2 * CELLS * CELLS - 1).answer).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
  });

  it('are refused before anything is decoded', async () => {
    const { answer, runs, decoded } = ask(1, 2 * CELLS * CELLS - 1);
    await expect(answer).rejects.toMatchObject({ code: 'IMAGE_TOO_LARGE' });
    expect([runs.length, decoded.count]).toEqual([0, 0]);
  });
});

describe('a combination that nobody waits for', () => {
  it.each(['heatmap', 'segment'])('ends between two slices (%s)', async (question) => {
    // Takes longer than a slice: 262,144 cells in two passes.
    const large = await sharp({ create: { width: 512, height: 512, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const { inference, model, runs } = fakeInference({ classes: 2, stride: 1, logitAt: (index) => index });
    const client = new AbortController();
    const context = { ...NOBODY_LEAVES, signal: client.signal };
    const images = [{ name: 'photo', bytes: large }];
    const options = {
      fit: 'native',
      scales: [1],
      flip: true,
      scores: 'probability',
      classes: [0],
      minProbability: 0,
    } as const;
    const asked =
      question === 'heatmap'
        ? heatmap(inference, model, images, options, context)
        : segment(inference, model, images, options, context);
    const settled = asked.catch((error: unknown) => error);
    while (runs.length < 2) await setImmediate();
    client.abort(new Error('the client has gone'));
    expect(await settled).toMatchObject({ message: 'the client has gone' });
  });
});
