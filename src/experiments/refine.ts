/**
 * Iterative refinement (Greff 2017): the blocks of a stage do not compute new features but better ones, so that the
 * classifier's head understands the features after each of them. The head is put behind each block of the last stage, which
 * is the net without the branches that follow. Its class agrees with the net's the more often, the later the block.
 */
import { OperatorError } from '../errors.js';
import { applyPasses } from '../graph/pass.js';
import { deleteBlock } from '../graph/passes/delete-block.js';
import { residualBlocks, type ResidualBlock } from '../graph/residual-blocks.js';
import { fittedAxis } from '../plots/axes.js';
import { agreement, classesOf } from './examine.js';
import { percent } from './figures.js';
import { labelledImages } from './images.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Findings, Section } from './report.js';

export interface Refinement {
  readonly model: string;
  readonly images: number;
  /** Of the last stage, in order. */
  readonly blocks: readonly RefinedBlock[];
}

/** The head behind this block. */
export interface RefinedBlock {
  readonly name: string;
  /** Percent of the images to which it gives the class that the whole net gives. */
  readonly agreement: number;
  /** Percent of the images to which it gives the right class. */
  readonly accuracy: number;
}

export async function refine(
  lab: Lab,
  options: ExperimentOptions,
): Promise<Findings & { readonly data: { readonly nets: readonly Refinement[] } }> {
  const { model: models = [] } = options;
  const nets: Refinement[] = [];
  for (const name of models.length === 0 ? [undefined] : models) nets.push(await refineNet(lab, name, options));
  return {
    title: 'what the head says after each block of the last stage',
    data: { nets },
    sections: [...nets.flatMap(tablesOf), figureOf(nets)],
  };
}

function refineNet(lab: Lab, asked: string | undefined, options: ExperimentOptions): Promise<Refinement> {
  return lab.use(asked, async (subject) => {
    const { network, model } = subject;
    const { name } = model.manifest;
    const blocks = residualBlocks(network.classifier, network.nativeSize, name);
    const stage = lastStage(blocks);
    if (stage.length < 2) throw new OperatorError(`the last stage of ${name} has one block: nothing is refined`);
    const samples = await labelledImages(lab, subject, options);
    const right = samples.map(({ classIndex }) => classIndex);
    const progress = lab.progress(name, stage.length);
    try {
      const final = await classesOf(lab, subject, network.classifier, samples);
      progress.step();
      const refined: RefinedBlock[] = [];
      for (const [index, block] of stage.slice(0, -1).entries()) {
        const graph = applyPasses(network.classifier, stage.slice(index + 1).map(deleteBlock));
        const classes = await classesOf(lab, subject, graph, samples);
        refined.push({ name: block.name, agreement: agreement(classes, final), accuracy: agreement(classes, right) });
        progress.step();
      }
      refined.push({ name: stage.at(-1)!.name, agreement: 100, accuracy: agreement(final, right) });
      return { model: name, images: samples.length, blocks: refined };
    } finally {
      progress.stop();
    }
  });
}

/** The last blocks whose results have one shape: each fits the head. */
function lastStage(blocks: readonly ResidualBlock[]): readonly ResidualBlock[] {
  const shape = blocks.at(-1)!.to?.join();
  const isOfStage = ({ to }: ResidualBlock): boolean => to?.join() === shape;
  const other = blocks.findLastIndex((block) => !isOfStage(block));
  const stage = blocks.slice(other + 1);
  const first = stage.findLastIndex(({ changesShape }) => changesShape);
  return stage.slice(Math.max(0, first));
}

function tablesOf({ model, images, blocks }: Refinement): Section[] {
  const [first] = blocks;
  return [
    {
      text: `${model}: after ${first!.name}, the first block of the last stage, the head gives the net's own class to ${percent(first!.agreement)} % of the images.`,
    },
    {
      table: `${model}: the head behind each block of the last stage, ${images} images`,
      header: ['block', "the net's class %", 'the right class %'],
      rows: blocks.map(({ name, agreement: same, accuracy }) => [name, percent(same), percent(accuracy)]),
    },
  ];
}

function figureOf(nets: readonly Refinement[]): Section {
  return {
    figure: 'refine',
    caption: 'How often the head behind a block agrees with the whole net',
    draw: async () => {
      const { drawCurves } = await import('../plots/curves.js');
      const curves = nets.map(({ model, blocks }) => ({
        name: model,
        dots: true,
        points: blocks.map(({ agreement: same }, index) => ({ x: index + 1, y: same })),
      }));
      return drawCurves({
        title: 'The head behind each block of the last stage',
        x: fittedAxis(
          'block of the last stage',
          curves.flatMap(({ points }) => points.map(({ x }) => x)),
        ),
        y: fittedAxis('images with the class of the whole net, %', [0, 100]),
        curves,
      });
    },
  };
}
