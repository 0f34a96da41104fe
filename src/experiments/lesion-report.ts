/** What a lesion study found: its figures, and what people read of them, with the plots of Veit 2016. */
import { fittedAxis } from '../plots/axes.js';
import type { Curve } from '../plots/curves.js';
import { median, percent, points } from './figures.js';
import type { Section } from './report.js';

/** Accuracies are percent of the images whose first class is right. */
export interface Lesions {
  readonly model: string;
  readonly kind: 'residual' | 'plain';
  readonly classes: number;
  readonly images: number;
  readonly whole: number;
  readonly one: readonly OneLesion[];
  /** Absent of a plain net. */
  readonly many?: ManyLesions;
}

export interface OneLesion {
  /** Of the block or layer. */
  readonly name: string;
  readonly accuracy: number;
  /** Of blocks. */
  readonly stage?: number;
  readonly changesShape?: boolean;
}

export interface ManyLesions {
  /** So many of the images, and the accuracy of the whole net on them. */
  readonly images: number;
  readonly whole: number;
  readonly several: readonly { readonly deleted: number; readonly accuracies: readonly number[] }[];
  readonly order: readonly { readonly swaps: number; readonly tau: number; readonly accuracy: number }[];
}

/** From so many blocks on a net loses little with one of them; the paper's have 54 and more. */
const MANY_BLOCKS = 20;

export function sectionsOf(net: Lesions): readonly Section[] {
  const { model, kind, one, whole, many, images } = net;
  return [
    { text: summaryOf(net) },
    {
      table: `${model}: accuracy on ${images} images without one ${kind === 'plain' ? 'layer' : 'block'}`,
      header:
        kind === 'plain' ? ['layer', 'accuracy %', 'change'] : ['block', 'stage', 'shape', 'accuracy %', 'change'],
      rows: one.map(({ name, stage = 0, changesShape = false, accuracy }) => {
        const figures = [percent(accuracy), points(accuracy - whole)];
        return kind === 'plain' ? [name, ...figures] : [name, stage, changesShape ? 'changes' : 'stays', ...figures];
      }),
    },
    figureOfOne(net),
    ...(many === undefined ? [] : sectionsOfMany(net, many)),
  ];
}

function summaryOf({ model, kind, classes, whole, one }: Lesions): string {
  const chance = 100 / classes;
  const of = (lesions: typeof one): string => {
    const changes = lesions.map(({ accuracy }) => accuracy - whole);
    return `${points(median(changes))} points at the median, ${points(Math.min(...changes))} at worst`;
  };
  const start = `${model} is right in ${percent(whole)} % of the images; by chance it would be in ${percent(chance)} %.`;
  if (kind === 'plain') {
    const most = Math.max(...one.map(({ accuracy }) => accuracy));
    return `${start} Without one of its ${one.length} layers that keep their shape it is in ${percent(most)} % at most: a plain net has one path, and every layer is on it.`;
  }
  const kept = one.filter(({ changesShape }) => changesShape !== true);
  const changed = one.filter(({ changesShape }) => changesShape === true);
  return [
    start,
    ...(kept.length === 0 ? [] : [`Without one of its ${kept.length} blocks that keep their shape: ${of(kept)}.`]),
    ...(changed.length === 0
      ? []
      : [`Without the branch of one of the ${changed.length} that change it: ${of(changed)}.`]),
    ...(one.length < MANY_BLOCKS
      ? [
          `With ${one.length} blocks this net is too shallow to show that residual nets survive deletions: the fewer the blocks, the more each of them does, and the more the paths through it weigh. The nets of the paper have 54 and more.`,
        ]
      : []),
  ].join(' ');
}

/** A horizontal line from the first to the last x. */
function level(name: string, height: number, xs: readonly number[]): Curve {
  return { name, dashed: true, points: [Math.min(...xs), Math.max(...xs)].map((x) => ({ x, y: height })) };
}

/** A figure of accuracies, between those of the whole net and of chance. */
function figureOf(
  { model, classes }: Lesions,
  figure: string,
  {
    title,
    x,
    whole,
    curves,
  }: { readonly title: string; readonly x: string; readonly whole: number; readonly curves: readonly Curve[] },
): Section {
  const xs = curves.flatMap(({ points: own }) => own.map((point) => point.x));
  return {
    figure: `${model}-${figure}`,
    caption: `${model}: ${title}`,
    draw: async () => {
      const { drawCurves } = await import('../plots/curves.js');
      return drawCurves({
        title: `${model}: ${title}`,
        x: fittedAxis(x, xs),
        y: fittedAxis('accuracy, %', [0, 100]),
        curves: [...curves, level('the whole net', whole, xs), level('chance', 100 / classes, xs)],
      });
    },
  };
}

function figureOfOne(net: Lesions): Section {
  const part = net.kind === 'plain' ? 'layer' : 'block';
  const hollow = net.one.some(({ changesShape }) => changesShape) ? '; hollow: it changes the shape' : '';
  return figureOf(net, 'one', {
    title: `accuracy without one ${part}${hollow}`,
    x: part,
    whole: net.whole,
    curves: [
      {
        name: `without this ${part}`,
        dots: true,
        points: net.one.map(({ accuracy, changesShape = false }, index) => ({
          x: index + 1,
          y: accuracy,
          hollow: changesShape,
        })),
      },
    ],
  });
}

function sectionsOfMany(net: Lesions, { images, whole, several, order }: ManyLesions): Section[] {
  const sorted = order.toSorted((a, b) => b.tau - a.tau);
  const medians = several.map(({ deleted, accuracies }) => ({ x: deleted, y: median(accuracies) }));
  const draws = several.flatMap(({ deleted, accuracies }) => accuracies.map((y) => ({ x: deleted, y })));
  const deletions: Section[] = [
    {
      table: `${net.model}: accuracy on ${images} images without several blocks that keep their shape, drawn at random`,
      header: ['deleted', 'accuracy %, median', 'draws'],
      rows: several.map(({ deleted, accuracies }) => [
        deleted,
        percent(median(accuracies)),
        accuracies.map(percent).join(', '),
      ]),
    },
    figureOf(net, 'several', {
      title: 'accuracy without several blocks, drawn at random',
      x: 'blocks deleted',
      whole,
      curves: [
        { name: 'median', points: [{ x: 0, y: whole }, ...medians] },
        { name: 'each draw', points: draws, dots: 'only' },
      ],
    }),
  ];
  const orders: Section[] = [
    {
      table: `${net.model}: accuracy on ${images} images with blocks in another order`,
      header: ['swaps', 'τ', 'accuracy %'],
      rows: sorted.map(({ swaps, tau, accuracy }) => [swaps, Number(tau.toFixed(3)), percent(accuracy)]),
    },
    figureOf(net, 'order', {
      title: 'accuracy with blocks in another order',
      x: "Kendall's τ to the net's own order",
      whole,
      curves: [
        { name: 'each order', dots: 'only', points: sorted.map(({ tau, accuracy }) => ({ x: tau, y: accuracy })) },
      ],
    }),
  ];
  return [...(several.length === 0 ? [] : deletions), ...(order.length === 0 ? [] : orders)];
}
