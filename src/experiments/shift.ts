/**
 * How far the logits move when the photograph does: pixel by pixel, for nets with global average pooling beside nets with a
 * fully connected head. Pooling forgets where a feature was; a fully connected layer has a weight for each place.
 *
 * Source: Lin 2014, section 3.2, which claims that averaging is "more robust to spatial translations of the input".
 */
import { UsageError } from '../errors.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { describeModel } from '../models/look/description.js';
import { expectTensor } from '../tensor.js';
import { eachImage, labelledImages } from './images.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import { cutPixels, decodeMiddle } from './pixels.js';
import type { Findings, Section } from './report.js';
import type { Subject } from './subject.js';

export interface ShiftedModel {
  readonly model: string;
  readonly head: string;
  readonly images: number;
  readonly shifts: readonly Shifted[];
  /** The mean of `change` over all shifts but 0. */
  readonly meanChange: number;
}

export interface Shifted {
  /** Pixels of the input that the photograph has moved to the left. */
  readonly shift: number;
  /**
   * Root mean square of the change of an image's logits, as a part of their standard deviation over the classes; the mean over
   * the images.
   */
  readonly change: number;
  /** Share of the images with the first class that they have unmoved. */
  readonly same: number;
  /** Share of the images whose first class is right. */
  readonly right: number;
}

/** The embedded nets that differ in this: both know Tiny ImageNet's classes. Where they are not served, all that are. */
const MODELS = ['tinyimagenet-resnet18-w48', 'tinyimagenet-vgg11bn-w32'];
const LARGEST = 31;
/** The windows of one image are in memory together. */
const MOST = 256;

export async function shift(
  lab: Lab,
  options: ExperimentOptions,
): Promise<Findings & { readonly data: { readonly models: readonly ShiftedModel[] } }> {
  const { model: asked, shift: largest = LARGEST } = options;
  if (largest > MOST) throw new UsageError(`A photograph is moved by at most ${MOST} pixels.`);
  const served = asked === undefined ? await lab.names() : [];
  const names = asked ?? (MODELS.every((name) => served.includes(name)) ? MODELS : served);
  const models: ShiftedModel[] = [];
  for (const name of names) models.push(await lab.use(name, (subject) => shiftOn(lab, subject, options, largest)));
  return { title: 'how far the logits move when the photograph does', data: { models }, sections: sectionsOf(models) };
}

async function shiftOn(lab: Lab, subject: Subject, options: ExperimentOptions, largest: number): Promise<ShiftedModel> {
  const { model, network, open } = subject;
  const { width, height } = model.nativeSize;
  const samples = await labelledImages(lab, subject, options);
  const probe = await open(network.classifier);
  const files = samples.map(({ file }) => file);
  const answers = await eachImage(lab, subject, files, model.manifest.name, async (image, index) => {
    const wide = await decodeMiddle(lab.config, model, image, { width: width + largest, height });
    const logits = await Promise.all(
      Array.from({ length: largest + 1 }, async (_, left) => {
        const outputs = await probe.pixels(cutPixels(wide, { left, top: 0, width, height }));
        return expectTensor(outputs, LOGITS, 'float32').data;
      }),
    );
    return logits.map((moved) => compare(moved, logits[0]!, samples[index]!.classIndex));
  });
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const shifts = Array.from({ length: largest + 1 }, (_, moved) => ({
    shift: moved,
    change: mean(answers.map((image) => image[moved]!.change)),
    same: mean(answers.map((image) => Number(image[moved]!.same))),
    right: mean(answers.map((image) => Number(image[moved]!.right))),
  }));
  return {
    model: model.manifest.name,
    head: describeModel(model, network, { weights: true, manifest: true }).head.was,
    images: samples.length,
    shifts,
    meanChange: mean(shifts.slice(1).map(({ change }) => change)),
  };
}

/** What has become of an image's logits. */
export function compare(
  moved: Float32Array,
  still: Float32Array,
  classIndex: number,
): { readonly change: number; readonly same: boolean; readonly right: boolean } {
  const mean = still.reduce((sum, value) => sum + value, 0) / still.length;
  const spread = Math.hypot(...still.map((value) => value - mean));
  const first = moved.indexOf(Math.max(...moved));
  return {
    change: Math.hypot(...moved.map((value, index) => value - still[index]!)) / spread,
    same: first === still.indexOf(Math.max(...still)),
    right: first === classIndex,
  };
}

function sectionsOf(models: readonly ShiftedModel[]): Section[] {
  const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;
  const title = 'root mean square change of the logits, as a part of their standard deviation';
  return [
    {
      table: `The photograph moved by 1 to ${models[0]!.shifts.length - 1} pixels of the input, means over images and shifts`,
      header: ['model', 'head', 'images', 'change of the logits', 'same first class', 'right, unmoved', 'right, moved'],
      rows: models.map(({ model, head, images, shifts: [still, ...moved], meanChange }) => {
        const mean = (of: (shifted: Shifted) => number): number =>
          moved.reduce((sum, each) => sum + of(each), 0) / moved.length;
        return [
          ...[model, head, images, meanChange.toFixed(3)],
          ...[mean(({ same }) => same), still!.right, mean(({ right }) => right)].map(percent),
        ];
      }),
    },
    {
      table: 'Change of the logits by shift',
      header: ['pixels', ...models.map(({ model }) => model)],
      rows: models[0]!.shifts.map((_, moved) => [
        moved,
        ...models.map(({ shifts }) => Number(shifts[moved]!.change.toFixed(3))),
      ]),
    },
    {
      figure: 'shift',
      caption: title,
      draw: async () => {
        const [{ drawCurves }, { linearAxis }] = await Promise.all([
          import('../plots/curves.js'),
          import('../plots/axes.js'),
        ]);
        const curves = models.map(({ model, head, shifts }) => ({
          name: `${model}: ${head}`,
          points: shifts.map((shifted) => ({ x: shifted.shift, y: shifted.change })),
          dots: true,
        }));
        const points = curves.flatMap((curve) => curve.points);
        return drawCurves({
          title,
          x: linearAxis(
            'pixels of the input that the photograph has moved',
            points.map(({ x }) => x),
            0.5,
          ),
          y: linearAxis(
            'change of the logits',
            points.map(({ y }) => y),
            0.02,
          ),
          curves,
        });
      },
    },
  ];
}
