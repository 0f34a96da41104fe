/**
 * The ball charts of Canziani, Paszke and Culurciello, "An Analysis of Deep Neural Network Models for Practical Applications"
 * (2016): a ball for each model, its area as the parameters. Three of them: top-1 accuracy against the GMAC (10⁹ multiply-adds) of an
 * image, top-1 accuracy against the server's images a second, and these against the GMAC.
 */
import type { Report, Row } from '../report.js';
import { medianOf } from '../tables.js';
import { linearAxis, logAxis, type Axis } from '../../src/plots/axes.js';
import { drawBalls, type Ball } from '../../src/plots/balls.js';

/** A model that classified, at the load that got most out of it. */
interface Measured {
  readonly model: string;
  /** With its engine, if engines were compared. */
  readonly name: string;
  readonly row: Row;
  readonly imagesPerSecond: number;
}

interface Quantity {
  readonly of: (measured: Measured) => number;
  readonly axis: (values: readonly number[]) => Axis;
}

// The axes go further at both ends, because balls have a size.
const GMAC: Quantity = {
  of: ({ row }) => row.gmacs,
  axis: (values) => logAxis('GMAC of an image', values, 1.5),
};
const RATE: Quantity = {
  of: ({ imagesPerSecond }) => imagesPerSecond,
  axis: (values) => logAxis('images a second', values, 1.5),
};
const TOP1: Quantity = {
  of: ({ row }) => row.top1!.percent,
  axis: (values) => linearAxis('top-1 accuracy, %', values, 3),
};

/** The charts by name, those that have two balls at least. */
export function ballCharts({ rows, machine: { processor, cores, date } }: Report): Map<string, string> {
  const measured = measuredOf(rows);
  const where = `${processor}, ${cores} cores, ${date}`;
  const accurate = measured.filter(({ row }) => row.top1?.images === 'ImageNet');
  // On several engines a model is as accurate, and has as many multiply-adds.
  const models = new Map(accurate.map((each) => [each.model, { ...each, name: each.model + recipeOf(each) }]));
  const served = accurate.map((each) => ({ ...each, name: each.name + recipeOf(each) }));
  const others = measured.filter(({ row }) => row.top1 !== undefined && row.top1.images !== 'ImageNet');
  const known = [PUBLISHED, ...(others.length === 0 ? [] : [elsewhere(others)])];
  const charts: [string, string | undefined][] = [
    ['accuracy', chart(known, [...models.values()], GMAC, TOP1)],
    ['accuracy-throughput', chart([where, ...known], served, RATE, TOP1)],
    ['throughput', chart([where + (measured.some(isInt8) ? '; hollow: int8' : '')], measured, GMAC, RATE)],
  ];
  return new Map(charts.filter((each): each is [string, string] => each[1] !== undefined));
}

const PUBLISHED =
  "top-1 on ImageNet's validation images, as published; in brackets the recipe of weights that are not torchvision's first";

/** Accuracies on other images are no places on the same axis. */
function elsewhere(measured: readonly Measured[]): string {
  const each = new Map(
    measured.map(({ model, row: { top1 } }) => [model, `${model} ${top1!.percent} % of ${top1!.images}`]),
  );
  return `not drawn, because on other images: ${[...each.values()].join(', ')}`;
}

const isInt8 = ({ row }: Measured): boolean => row.precision === 'int8';

function chart(titles: readonly string[], measured: readonly Measured[], x: Quantity, y: Quantity): string | undefined {
  if (measured.length < 2) return undefined;
  return drawBalls({
    titles,
    x: x.axis(measured.map(x.of)),
    y: y.axis(measured.map(y.of)),
    balls: measured.map((each): Ball => ({
      ...{ name: each.name, family: familyOf(each.model), hollow: isInt8(each) },
      ...{ x: x.of(each), y: y.of(each), parametersM: each.row.parametersM },
    })),
  });
}

function measuredOf(rows: readonly Row[]): Measured[] {
  const best = new Map<string, Measured>();
  for (const row of rows) {
    if (row.view !== 'classify' || row.models.length > 1 || row.load.loop !== 'closed') continue;
    const model = row.models[0]!.replace('-untrained', '');
    const name = model + (row.engine === undefined ? '' : ` on ${row.engine}`);
    const imagesPerSecond = medianOf(row, ({ server }) => server.imagesPerSecond);
    if (imagesPerSecond > (best.get(name)?.imagesPerSecond ?? 0)) best.set(name, { model, name, row, imagesPerSecond });
  }
  return [...best.values()];
}

/** The recipe is the first word behind the architecture in the name of timm's weights: `resnetv2_50.a1h_in1k`. */
function recipeOf({ row }: Measured): string {
  const recipe = /\.([a-z\d]+)_/.exec(row.top1!.weights)?.[1] ?? 'tv';
  return recipe === 'tv' ? '' : ` (${recipe})`;
}

const FAMILIES = /wide_resnet|preresnet|resnext|resnet|plain|densenet|efficientnet|vgg/;

/** The family that a name speaks of, or the letters that it begins with. */
function familyOf(model: string): string {
  return FAMILIES.exec(model)?.[0] ?? /^[a-z]+/i.exec(model)?.[0] ?? model;
}
