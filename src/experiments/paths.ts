/**
 * Residual nets as collections of paths (Veit 2016, §3 and §5): a path goes through each block's branch or around it. Their
 * number and lengths follow from the structure, for any residual net, without weights. With images it is measured how much
 * the paths of each length contribute (path-norms.ts): a few random paths of each length stand for all of them.
 */
import { OperatorError } from '../errors.js';
import { dominatorsOf } from '../graph/dominators.js';
import { findResidualBlocks, residualBlocks, type ResidualBlock } from '../graph/residual-blocks.js';
import type { Network } from '../models/networks/network.js';
import { fittedAxis, logAxis } from '../plots/axes.js';
import { labelledImages } from './images.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import {
  countPaths,
  partOf,
  sharesOf,
  shortestRange,
  totalOf,
  weightedShares,
  type LengthRange,
  type PathCounts,
} from './path-counts.js';
import { measurePathNorms } from './path-norms.js';
import type { Findings, Section } from './report.js';

export interface NetPaths {
  readonly model: string;
  /** Modules of the longest path. */
  readonly modules: number;
  /** Whole numbers in decimal digits: they exceed what JSON's readers hold. */
  readonly paths: string;
  /** When one block has lost its branches. */
  readonly pathsWithoutOneBlock: string;
  /** The fewest lengths that more than 95 % of the paths have. */
  readonly range: LengthRange;
  readonly lengths: readonly PathLength[];
  /** Absent if there are no images. */
  readonly contribution?: Contribution;
}

export interface PathLength {
  readonly length: number;
  readonly paths: string;
  /** Its part of all paths. */
  readonly share: number;
  /** Norm at the logits of a change of norm 1 that takes such a path, on average. */
  readonly norm?: number;
  /** Its part of the norms of all paths. */
  readonly contribution?: number;
}

export interface Contribution {
  readonly images: number;
  /** Random paths of each length, for each image. */
  readonly draws: number;
  /** The fewest lengths that contribute more than 95 %. */
  readonly range: LengthRange;
  /** The part of all paths that have such a length. */
  readonly partOfPaths: number;
}

const DRAWS = 5;
const IMAGES = 16;

export async function paths(
  lab: Lab,
  { images, model: models = [], count = IMAGES }: ExperimentOptions,
): Promise<Findings & { readonly data: { readonly nets: readonly NetPaths[] } }> {
  const nets: NetPaths[] = [];
  for (const name of models.length === 0 ? [undefined] : models) {
    nets.push(images === undefined ? await countOnly(lab, name) : await measure(lab, name, images, count));
  }
  return {
    title: 'the paths through a residual net, by their length',
    data: { nets },
    sections: [...nets.flatMap(sectionsOf), ...figuresOf(nets)],
  };
}

async function countOnly(lab: Lab, name: string | undefined): Promise<NetPaths> {
  if (name === undefined) {
    return lab.use(name, ({ network, model: { manifest } }) =>
      Promise.resolve(netPaths(manifest.name, seriesOf(network, manifest.name))),
    );
  }
  const { network, content } = await lab.look(name);
  return netPaths(content.manifest.name, seriesOf(network, content.manifest.name));
}

function measure(lab: Lab, asked: string | undefined, images: string, count: number): Promise<NetPaths> {
  return lab.use(asked, async (subject) => {
    const { network, model } = subject;
    const { name } = model.manifest;
    const blocks = seriesOf(network, name);
    if (blocks.some(({ inner }) => inner.length > 0)) {
      throw new OperatorError(
        `${name} has shortcuts around several blocks: only its paths can be counted, without images`,
      );
    }
    const samples = await labelledImages(lab, subject, { images, count });
    const progress = lab.progress(name, samples.length * DRAWS * (blocks.length + 1));
    const norms = await measurePathNorms(lab, subject, blocks, {
      files: samples.map(({ file }) => file),
      draws: DRAWS,
      onPath: () => progress.step(),
    }).finally(() => progress.stop());
    return netPaths(name, blocks, { norms, images: samples.length });
  });
}

/** The blocks, which must stand one behind the other. Throws OperatorError or GraphError where there is no such series. */
function seriesOf(
  { classifier: graph, nativeSize }: Pick<Network, 'classifier' | 'nativeSize'>,
  name: string,
): readonly ResidualBlock[] {
  residualBlocks(graph, nativeSize, name);
  const blocks = findResidualBlocks(graph, nativeSize);
  const dominators = dominatorsOf(graph);
  const isSeries = blocks.every(
    ({ start }, index) => index === 0 || dominators.dominates(blocks[index - 1]!.join.outputs[0]!, start),
  );
  if (!isSeries) throw new OperatorError(`the residual blocks of ${name} stand beside each other`);
  return blocks;
}

interface Measured {
  /** Logarithms, by length. */
  readonly norms: readonly number[];
  readonly images: number;
}

function netPaths(model: string, blocks: readonly ResidualBlock[], measured?: Measured): NetPaths {
  const counts = countPaths(blocks);
  const shares = sharesOf(counts);
  const { contribution, shares: contributions } = contributionOf(counts, shares, measured);
  return {
    model,
    modules: counts.length - 1,
    paths: totalOf(counts).toString(),
    pathsWithoutOneBlock: totalOf(countPaths(withoutFirst(blocks))).toString(),
    range: shortestRange(shares),
    lengths: counts.map((count, length) => ({
      length,
      paths: count.toString(),
      share: shares[length]!,
      ...(measured && { norm: Math.exp(measured.norms[length]!), contribution: contributions[length]! }),
    })),
    ...(contribution && { contribution }),
  };
}

/** The first of the innermost blocks has lost its branches. */
function withoutFirst([first, ...others]: readonly ResidualBlock[]): readonly ResidualBlock[] {
  if (first === undefined) return [];
  const lesioned = first.inner.length === 0 ? { branches: [] } : { inner: withoutFirst(first.inner) };
  return [{ ...first, ...lesioned }, ...others];
}

function contributionOf(
  counts: PathCounts,
  shares: readonly number[],
  measured: Measured | undefined,
): { readonly contribution?: Contribution; readonly shares: readonly number[] } {
  if (measured === undefined) return { shares: [] };
  if (measured.norms.every((norm) => norm === -Infinity)) throw new OperatorError('no change reaches the logits');
  const weighted = weightedShares(counts, (length) => measured.norms[length]!);
  const range = shortestRange(weighted);
  const partOfPaths = partOf(shares, range.from, range.to);
  return { contribution: { images: measured.images, draws: DRAWS, range, partOfPaths }, shares: weighted };
}

function sectionsOf({
  model,
  modules,
  paths: total,
  pathsWithoutOneBlock,
  range,
  lengths,
  contribution,
}: NetPaths): Section[] {
  const measured =
    contribution === undefined
      ? ''
      : ` ${percentOf(contribution.range.share)} of what the paths do to the logits comes from those through ${contribution.range.from} to ${contribution.range.to} modules, ${percentOf(contribution.partOfPaths)} of all paths.`;
  const isMeasured = contribution !== undefined;
  return [
    {
      text: `${model}: ${modules} ${modules === 1 ? 'module' : 'modules'}, ${numberText(total)} paths; without one block ${numberText(pathsWithoutOneBlock)}. ${percentOf(range.share)} of the paths go through ${range.from} to ${range.to} modules.${measured}`,
    },
    {
      table: `${model}: paths by length`,
      header: ['modules', 'paths', 'of all %', ...(isMeasured ? ['norm at the logits', 'contribution %'] : [])],
      rows: lengths.map(({ length, paths: count, share, norm = 0, contribution: part = 0 }) => [
        length,
        numberText(count),
        significant(100 * share),
        ...(isMeasured ? [norm.toExponential(2), significant(100 * part)] : []),
      ]),
    },
  ];
}

function figuresOf(nets: readonly NetPaths[]): Section[] {
  const measured = nets.filter(({ contribution }) => contribution !== undefined);
  const distribution: Section = {
    figure: 'paths',
    caption: 'Lengths of paths, and what paths of each length contribute',
    draw: async () => {
      const { drawCurves } = await import('../plots/curves.js');
      const curves = [
        ...nets.map(({ model, lengths }) => ({
          name: `${model}: of all paths`,
          points: lengths.map(({ length, share }) => ({ x: length, y: 100 * share })),
        })),
        ...measured.map(({ model, lengths }) => ({
          name: `${model}: of what they do to the logits`,
          points: lengths.map(({ length, contribution = 0 }) => ({ x: length, y: 100 * contribution })),
        })),
      ];
      const points = curves.flatMap((curve) => curve.points);
      return drawCurves({
        title: 'Paths by their length',
        x: fittedAxis(
          MODULES,
          points.map(({ x }) => x),
        ),
        y: fittedAxis(
          'part, %',
          points.map(({ y }) => y),
        ),
        curves: curves.map((curve) => ({ ...curve, dots: true })),
      });
    },
  };
  const norms: Section = {
    figure: 'path-norms',
    caption: 'How much of a change reaches the logits along one path, by its length',
    draw: async () => {
      const { drawCurves } = await import('../plots/curves.js');
      const curves = measured.map(({ model, lengths }) => ({
        name: model,
        dots: true,
        points: lengths.flatMap(({ length, norm = 0 }) => (norm > 0 ? [{ x: length, y: norm }] : [])),
      }));
      const points = curves.flatMap((curve) => curve.points);
      return drawCurves({
        title: 'What is left at the logits of a change of norm 1 that takes one path',
        x: fittedAxis(
          MODULES,
          points.map(({ x }) => x),
        ),
        y: logAxis(
          'norm at the logits',
          points.map(({ y }) => y),
          1.5,
        ),
        curves,
      });
    },
  };
  return measured.length === 0 ? [distribution] : [distribution, norms];
}

const MODULES = 'modules that a path goes through';

const percentOf = (share: number): string => `${significant(100 * share)} %`;

/** To a tenth or a hundredth, and small ones to two digits. */
function significant(value: number): number {
  return Number(Math.abs(value) >= 1 ? value.toFixed(2) : value.toPrecision(2));
}

/** A whole number in digits, or a long one as a power of ten. */
function numberText(digits: string): string {
  return digits.length <= 15
    ? digits
    : Number(`${digits[0]}.${digits.slice(1, 4)}`).toFixed(2) + `·10^${digits.length - 1}`;
}
