/**
 * Adds to a report what is known of its models' accuracy. It is not measured here: an architecture has that of the catalog's first
 * weights for it, which `fullconv pull NAME` takes; an embedded model has that of its card. Nothing is known of 8-bit forms.
 */
import { readCatalog, type Catalog } from '../src/models/pull/catalog.js';
import type { Report, Row, Top1 } from './report.js';
import { architectureOf } from './scenario.js';

/** Of the embedded models, by name, as their cards say (models/NAME/README.md). */
export const EMBEDDED_TOP1: Readonly<Record<string, Omit<Top1, 'weights'>>> = {
  'imagenet-efficientnet-lite0': { percent: 75.1, images: 'ImageNet' },
  'tinyimagenet-resnet18-w48': { percent: 64.7, images: 'Tiny ImageNet' },
  'tinyimagenet-vgg11bn-w32': { percent: 57.2, images: 'Tiny ImageNet' },
};

export async function withAccuracies(report: Report): Promise<Report> {
  const catalog = await readCatalog();
  return { ...report, rows: report.rows.map((row) => withTop1(row, catalog)) };
}

function withTop1(row: Row, catalog: Catalog): Row {
  const [model, ...others] = row.models;
  if (row.precision === 'int8' || model === undefined || others.length > 0) return row;
  const top1 = top1Of(model, catalog);
  return top1 === undefined ? row : { ...row, top1 };
}

/** `model`: the name that it is served under. */
function top1Of(model: string, { models }: Catalog): Top1 | undefined {
  const embedded = EMBEDDED_TOP1[model];
  if (embedded !== undefined) return { ...embedded, weights: model };
  const architecture = architectureOf(model);
  const entry = models.find((each) => each.name === model || each.architecture === architecture);
  if (entry?.top1 === undefined) return undefined;
  return { percent: entry.top1, images: 'ImageNet', weights: entry.name };
}
