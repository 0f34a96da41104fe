/** /v1/segment: the winning class of every position, as a picture, as JSON or as an array, by Accept. */
import { z } from 'zod';
import { labelColor } from '../../drawing/label-color.js';
import { LABEL_DRAWINGS } from '../../drawing/words.js';
import { segment, type Segmentation } from '../../inference/segment.js';
import { MAX_CORNERS, MAX_RUNS, shapesOf, type Shapes } from '../../inference/shapes.js';
import type { LabelRuns } from '../../maps/outline.js';
import { MAX_REGIONS } from '../../maps/regions.js';
import { SCORES } from '../../maps/scores.js';
import { areWhole, presentAnswer } from '../image-route.js';
import { CLASS_HEADERS, presentBox, presentImage } from '../map-answer.js';
import { mapParameters, mapRoutes } from '../map-route.js';
import { lazily } from '../json-text.js';
import { npyFile } from '../npy.js';
import { list, number, oneOf } from '../parameters.js';
import { box, imagesAnswer, map } from '../schemas.js';

const query = z.strictObject({
  ...mapParameters,
  scores: oneOf(SCORES, 'What several scales and mirrors are averaged as, before the best class wins').default(
    'probability',
  ),
  shapes: list(z.enum(['polygons', 'rle']), 2)
    .optional()
    .describe(
      `For application/json: each class's area as polygons, as COCO's run lengths, or both; at most ${MAX_CORNERS} corners and ${MAX_RUNS} runs in an answer`,
    ),
  minProbability: number(0, 1).default(0).describe('Positions whose best class is less probable stay unlabelled'),
  render: oneOf(LABEL_DRAWINGS, 'For pictures').default('palette'),
});

const classArea = z.object({
  index: z.number().int(),
  id: z.string(),
  label: z.string(),
  color: z.string().describe('The colour of the class in image/png, as #rrggbb'),
  share: z.number().describe('Fraction of the cells'),
  boxes: z
    .array(box)
    .describe(
      `One for each connected region, the largest first; at most ${MAX_REGIONS} of an image, shared evenly by its classes`,
    ),
  boxesLeftOut: z.number().int().optional().describe('Smaller regions that have no box here; absent if all have'),
  polygons: z
    .array(z.array(z.array(z.array(z.number()))))
    .optional()
    .describe('With shapes=polygons: the coordinates of a MultiPolygon in photo pixels, [outline, hole, …] each'),
  rle: z
    .object({ size: z.array(z.number().int()).describe('[height, width]'), counts: z.string() })
    .optional()
    .describe("With shapes=rle: the pixels of the photo in COCO's compressed run lengths"),
});

const segmentation = imagesAnswer({
  map: map.optional(),
  unlabelled: z.number().optional().describe('Share of the cells below minProbability'),
  classes: z
    .array(classArea)
    .optional()
    .describe('The legend: the classes that win somewhere, the largest share first'),
}).meta({ id: 'Segmentation' });

export const segmentRoutes = mapRoutes({
  path: '/v1/segment',
  operationId: 'segment',
  summary: 'The winning class of every position',
  query,
  description: `A picture with one colour per class at the size of the photo, the legend as JSON, or class indices as uint16 [h, w] (65535: unlabelled). ${CLASS_HEADERS}`,
  schema: segmentation,
  picture: (asked) => ({ kind: 'labels', style: asked }),
  async answer({ inference }, { query: asked, images: photos, model, context, checkHeader }) {
    const {
      fit,
      size,
      scale: scales,
      flip,
      tiles,
      outputStride,
      edge,
      map,
      scores,
      minProbability,
      shapes = [],
    } = asked;
    const options = { fit, size, scales, flip, tiles, outputStride, edge, map, scores, minProbability, checkHeader };
    const answer = await segment(inference, model, photos, options, context);
    const images = answer.results.filter((result): result is Segmentation => !('problem' in result));
    let areas: ReadonlyMap<Segmentation, Shapes> = new Map();
    return {
      isWhole: areWhole(answer.results),
      bytes: () => images.reduce((sum, { labels }) => sum + labels.values.byteLength, bytesOf(areas.values())),
      async json() {
        areas = await shapesOf(images, shapes, context);
        return presentAnswer<Segmentation>(model, answer, (image) => presentLabels(image, areas.get(image)!));
      },
      only() {
        const [image] = answer.results as [Segmentation];
        const { labels } = image;
        return {
          ...image,
          map: labels,
          npy: () => npyFile('uint16', [labels.height, labels.width], [labels.values]),
          // A picture has no legend: it need not travel to the process that draws.
          picture: (output) => ({
            kind: 'labels',
            bytes: photos[0]!.bytes,
            image: { ...image, classes: [] },
            style: asked,
            output,
          }),
        };
      },
    };
  },
});

/** About so many: each corner and each run is a number of four or eight bytes. */
function bytesOf(areas: Iterable<Shapes>): number {
  let numbers = 0;
  for (const { outlines, runLengths } of areas) numbers += (outlines?.points ?? 0) + (runLengths?.runs ?? 0);
  return 8 * numbers;
}

function presentLabels(image: Segmentation, { outlines, runLengths }: Shapes): object {
  const { labels, classes, unlabelled } = image;
  return {
    ...presentImage({ ...image, map: labels }),
    unlabelled,
    classes: lazily(classes, ({ boxes, index, ...rest }) => ({
      index,
      ...rest,
      color: `#${labelColor(index).toString(16).padStart(6, '0')}`,
      boxes: lazily(boxes, presentBox),
      ...(outlines === undefined ? {} : { polygons: outlines.polygonsOf(index) }),
      ...presentRuns(runLengths, index),
    })),
  };
}

function presentRuns(runLengths: LabelRuns | undefined, label: number): object {
  const counts = runLengths?.countsOf(label);
  return counts === undefined ? {} : { rle: { size: runLengths!.size, counts } };
}
