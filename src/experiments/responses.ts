/**
 * The responses of layers (He 2016a, §4.2, figure 7): the standard deviation of what each 3×3 convolution gives, after batch
 * normalization and before activation or addition, over images, channels and places. Residual functions are small changes:
 * their responses are smaller than a plain net's, and the smaller the deeper the net.
 */
import { OperatorError } from '../errors.js';
import { applyPasses } from '../graph/pass.js';
import { appendMoments, MEANS, MEAN_SQUARES } from '../graph/passes/append-moments.js';
import { responsesOf } from '../graph/responses.js';
import { expectTensor } from '../tensor.js';
import { fittedAxis } from '../plots/axes.js';
import { eachImage, labelledImages } from './images.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Findings, Section } from './report.js';

export interface Responses {
  readonly model: string;
  readonly images: number;
  /** Over the layers. */
  readonly mean: number;
  readonly largest: number;
  /** In the order of the net. */
  readonly layers: readonly { readonly name: string; readonly deviation: number }[];
}

export async function responses(
  lab: Lab,
  options: ExperimentOptions,
): Promise<Findings & { readonly data: { readonly nets: readonly Responses[] } }> {
  const { model: models = [] } = options;
  const nets: Responses[] = [];
  for (const name of models.length === 0 ? [undefined] : models) nets.push(await measure(lab, name, options));
  return {
    title: 'the standard deviation of what each 3×3 layer gives',
    data: { nets },
    sections: [...nets.flatMap(tablesOf), figureOf(nets, 'in-order'), figureOf(nets, 'sorted')],
  };
}

function measure(lab: Lab, asked: string | undefined, options: ExperimentOptions): Promise<Responses> {
  return lab.use(asked, async (subject) => {
    const { network, model } = subject;
    const { name } = model.manifest;
    const found = responsesOf(network.classifier);
    if (found.length === 0) throw new OperatorError(`${name} has no 3×3 convolution`);
    const samples = await labelledImages(lab, subject, options);
    const probe = await subject.open(applyPasses(network.classifier, [appendMoments(found.map(({ value }) => value))]));
    const sums = found.map(() => ({ mean: 0, square: 0 }));
    const files = samples.map(({ file }) => file);
    await eachImage(lab, subject, files, name, async (image) => {
      const outputs = await probe.photo(image);
      const [means, squares] = [MEANS, MEAN_SQUARES].map((output) => expectTensor(outputs, output, 'float32').data);
      for (const [index, sum] of sums.entries()) {
        sum.mean += means![index]!;
        sum.square += squares![index]!;
      }
    });
    const layers = found.map(({ layer }, index) => ({
      name: layer,
      deviation: Math.sqrt(sums[index]!.square / samples.length - (sums[index]!.mean / samples.length) ** 2),
    }));
    const deviations = layers.map(({ deviation }) => deviation);
    const mean = deviations.reduce((sum, each) => sum + each, 0) / layers.length;
    return { model: name, images: samples.length, mean, largest: Math.max(...deviations), layers };
  });
}

const thousandths = (value: number): number => Number(value.toFixed(3));

function tablesOf({ model, mean, largest, layers }: Responses): Section[] {
  return [
    {
      text: `${model}: ${layers.length} layers of 3×3, standard deviation ${thousandths(mean)} on average, ${thousandths(largest)} at most.`,
    },
    {
      table: `${model}: standard deviation of each 3×3 layer`,
      header: ['layer', 'standard deviation'],
      rows: layers.map(({ name, deviation }) => [name, thousandths(deviation)]),
    },
  ];
}

function figureOf(nets: readonly Responses[], kind: 'in-order' | 'sorted'): Section {
  const isSorted = kind === 'sorted';
  return {
    figure: `responses-${kind}`,
    caption: `Standard deviation of each 3×3 layer, ${isSorted ? 'the largest first' : 'in the order of the net'}`,
    draw: async () => {
      const { drawCurves } = await import('../plots/curves.js');
      const curves = nets.map(({ model, mean, layers }) => {
        const deviations = layers.map(({ deviation }) => deviation);
        const shown = isSorted ? deviations.sort((a, b) => b - a) : deviations;
        return {
          name: `${model}, ${thousandths(mean)} on average`,
          dots: true,
          points: shown.map((deviation, index) => ({ x: index + 1, y: deviation })),
        };
      });
      const points = curves.flatMap((curve) => curve.points);
      return drawCurves({
        title: `Responses of 3×3 layers, ${isSorted ? 'the largest first' : 'in the order of the net'}`,
        x: fittedAxis(
          isSorted ? 'layer, sorted by its response' : 'layer',
          points.map(({ x }) => x),
        ),
        y: fittedAxis('standard deviation', [0, ...points.map(({ y }) => y)]),
        curves,
      });
    },
  };
}
