/**
 * The lesion study (Veit, Wilber, Belongie 2016, figures 3 to 5): what becomes of the accuracy when a trained net loses one
 * block, several, or their order. A residual net of many blocks hardly notices, since each deletion leaves half of its
 * paths; a plain net has one path, and falls to chance.
 *
 * - One: each block in turn; of a plain net each layer whose input and output have one shape.
 * - Several: so many of the blocks that keep their shape, chosen at random.
 * - Order: so many random pairs of blocks of one shape trade places. Kendall's τ says how far the order is from the net's own.
 */
import { OperatorError } from '../errors.js';
import { spread, type Sample } from '../evaluation/samples.js';
import type { Graph } from '../graph/graph.js';
import { applyPasses } from '../graph/pass.js';
import { deleteBlock } from '../graph/passes/delete-block.js';
import { deleteLayer } from '../graph/passes/delete-layer.js';
import { permuteBlocks } from '../graph/passes/permute-blocks.js';
import { plainLayers } from '../graph/plain-layers.js';
import { findResidualBlocks, innermost, type ResidualBlock } from '../graph/residual-blocks.js';
import { shuffled } from './chance.js';
import { accuracyOf } from './examine.js';
import { labelledImages } from './images.js';
import { kendallTau } from './kendall.js';
import type { Lab } from './lab.js';
import { sectionsOf, type Lesions, type ManyLesions, type OneLesion } from './lesion-report.js';
import type { ExperimentOptions } from './options.js';
import type { Findings } from './report.js';
import type { Subject } from './subject.js';

/** How many blocks go, how many pairs trade places, and how often each is drawn. */
const DELETED = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100];
const SWAPS = [1, 2, 3, 4, 6, 8, 12, 16];
const DRAWS = 3;
/** Images for the many runs of several deletions and of orders. */
const IMAGES_FOR_MANY = 500;

export async function lesion(
  lab: Lab,
  options: ExperimentOptions,
): Promise<Findings & { readonly data: { readonly nets: readonly Lesions[] } }> {
  const { model: models = [] } = options;
  const nets: Lesions[] = [];
  for (const name of models.length === 0 ? [undefined] : models) {
    nets.push(
      await lab.use(name, async (subject) => {
        return studyNet(lab, subject, await labelledImages(lab, subject, options));
      }),
    );
  }
  return { title: 'what a net loses with a block', data: { nets }, sections: nets.flatMap(sectionsOf) };
}

async function studyNet(lab: Lab, subject: Subject, samples: readonly Sample[]): Promise<Lesions> {
  const { network, model } = subject;
  const { classifier, nativeSize } = network;
  const { name } = model.manifest;
  const blocks = innermost(findResidualBlocks(classifier, nativeSize));
  const single = blocks.length > 0 ? withoutBlocks(classifier, blocks) : withoutLayers(subject);
  if (single.length === 0) {
    throw new OperatorError(
      `${name} has neither residual blocks nor layers that keep their shape: none can be left out`,
    );
  }
  const many = manyOf(classifier, blocks);
  const fewer = spread(samples, IMAGES_FOR_MANY);
  const progress = lab.progress(name, 1 + single.length + (many.count === 0 ? 0 : 1 + many.count));
  const examine = async (graph: Graph, on: readonly Sample[]): Promise<number> => {
    const accuracy = await accuracyOf(lab, subject, graph, on);
    progress.step();
    return accuracy;
  };
  try {
    const whole = await examine(classifier, samples);
    const one: OneLesion[] = [];
    for (const { graph, ...facts } of single) one.push({ ...facts, accuracy: await examine(graph, samples) });
    const kind = blocks.length > 0 ? 'residual' : 'plain';
    const net = { model: name, kind, classes: model.labels.length, images: samples.length, whole, one } as const;
    if (many.count === 0) return net;
    return { ...net, many: await studyMany(many, fewer, { classifier, examine }) };
  } finally {
    progress.stop();
  }
}

type Single = Omit<OneLesion, 'accuracy'> & { readonly graph: Graph };

function withoutBlocks(whole: Graph, blocks: readonly ResidualBlock[]): Single[] {
  return blocks.map((block) => ({
    name: block.name,
    stage: block.stage,
    changesShape: block.changesShape,
    graph: applyPasses(whole, [deleteBlock(block)]),
  }));
}

function withoutLayers({ network: { classifier, nativeSize } }: Subject): Single[] {
  return plainLayers(classifier, nativeSize).map((layer) => ({
    name: layer.name,
    graph: applyPasses(classifier, [deleteLayer(layer)]),
  }));
}

/** The changed nets with several lesions, made when they are examined. */
interface Many {
  readonly count: number;
  readonly several: readonly { readonly deleted: number; readonly make: readonly (() => Graph)[] }[];
  readonly order: readonly { readonly swaps: number; readonly tau: number; readonly make: () => Graph }[];
}

function manyOf(whole: Graph, blocks: readonly ResidualBlock[]): Many {
  const movable = blocks.filter(({ changesShape }) => !changesShape);
  const draws = Array.from({ length: DRAWS }, (_, draw) => draw);
  const several = DELETED.filter((deleted) => deleted <= movable.length).map((deleted) => {
    const chosen = draws.map((draw) => new Set(shuffled(movable, `delete ${deleted}, draw ${draw}`).slice(0, deleted)));
    const sets = distinct(
      chosen.map((gone) => movable.filter((block) => gone.has(block))),
      (gone) => gone.map(({ name }) => name).join(),
    );
    return { deleted, make: sets.map((gone) => () => applyPasses(whole, gone.map(deleteBlock))) };
  });
  const pairs = pairsOf(blocks);
  const drawn = SWAPS.filter((swaps) => swaps <= pairs.length).flatMap((swaps) =>
    draws.map((draw) => {
      const chosen = shuffled(pairs, `swap ${swaps}, draw ${draw}`).slice(0, swaps);
      return { swaps, permutation: swapped(blocks.length, chosen) };
    }),
  );
  const own = swapped(blocks.length, []).join();
  const order = distinct(drawn, ({ permutation }) => permutation.join())
    .filter(({ permutation }) => permutation.join() !== own)
    .map(({ swaps, permutation }) => ({
      swaps,
      tau: kendallTau(permutation),
      make: () => applyPasses(whole, [permuteBlocks(blocks, permutation)]),
    }));
  return { count: several.reduce((sum, { make }) => sum + make.length, 0) + order.length, several, order };
}

/** The first of those that have the same key. */
function distinct<T>(list: readonly T[], keyOf: (each: T) => string): T[] {
  return [...new Map(list.toReversed().map((each) => [keyOf(each), each])).values()].reverse();
}

/** Positions of two blocks that can trade places. */
type Pair = readonly [number, number];

function pairsOf(blocks: readonly ResidualBlock[]): Pair[] {
  return blocks.flatMap((a, first) =>
    blocks.flatMap((b, second): Pair[] => {
      const canTrade = !a.changesShape && !b.changesShape && a.from!.join() === b.from!.join();
      return second > first && canTrade ? [[first, second]] : [];
    }),
  );
}

function swapped(length: number, pairs: readonly Pair[]): number[] {
  const order = Array.from({ length }, (_, index) => index);
  for (const [a, b] of pairs) [order[a], order[b]] = [order[b]!, order[a]!];
  return order;
}

async function studyMany(
  { several, order }: Many,
  samples: readonly Sample[],
  {
    classifier,
    examine,
  }: { readonly classifier: Graph; readonly examine: (graph: Graph, on: readonly Sample[]) => Promise<number> },
): Promise<ManyLesions> {
  const whole = await examine(classifier, samples);
  const deletions: ManyLesions['several'][number][] = [];
  for (const { deleted, make } of several) {
    const accuracies: number[] = [];
    for (const graph of make) accuracies.push(await examine(graph(), samples));
    deletions.push({ deleted, accuracies });
  }
  const orders: ManyLesions['order'][number][] = [];
  for (const { swaps, tau, make } of order) orders.push({ swaps, tau, accuracy: await examine(make(), samples) });
  return { images: samples.length, whole, several: deletions, order: orders };
}
