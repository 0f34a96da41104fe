/** POST /v1/segment: the winning class of every position, as a picture, as JSON or as an array, by Accept. */
import { z } from 'zod';
import { labelColor } from '../../drawing/render-labels.js';
import { LABEL_DRAWINGS } from '../../drawing/words.js';
import { segment, type Segmentation } from '../../inference/segment.js';
import { polygonsOf, runLengthsOf } from '../../maps/outline.js';
import { presentAnswer } from '../image-route.js';
import { presentBox, presentImage } from '../map-answer.js';
import { mapParameters, mapRoute } from '../map-route.js';
import { encodeNpy } from '../npy.js';
import { list, number, oneOf } from '../parameters.js';
import { box, imagesAnswer, map } from '../schemas.js';

const query = z.strictObject({
  ...mapParameters,
  shapes: list(z.enum(['polygons', 'rle']), 2)
    .optional()
    .describe("For application/json: each class's area as polygons, as COCO's run lengths, or both"),
  minProbability: number(0, 1).default(0).describe('Positions whose best class is less probable stay unlabelled'),
  render: oneOf(LABEL_DRAWINGS, 'For pictures').default('palette'),
});

type Shapes = z.output<typeof query>['shapes'];

const classArea = z.object({
  index: z.number().int(),
  id: z.string(),
  label: z.string(),
  color: z.string().describe('The colour of the class in image/png, as #rrggbb'),
  share: z.number().describe('Fraction of the cells'),
  boxes: z.array(box).describe('One for each connected region, the largest first'),
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

export const segmentRoute = mapRoute({
  path: '/v1/segment',
  operationId: 'segment',
  summary: 'The winning class of every position',
  query,
  description:
    'A picture with one colour per class at the size of the photo, the legend as JSON, or class indices as uint16 [h, w] (65535: unlabelled)',
  schema: segmentation,
  async answer({ inference }, { query: asked, images, model, context }) {
    const { fit, size, scale: scales, flip, tiles, outputStride, edge, minProbability, shapes } = asked;
    const options = { fit, size, scales, flip, tiles, outputStride, edge, minProbability };
    const answer = await segment(inference, model, images, options, context);
    return {
      json: () => presentAnswer<Segmentation>(model, answer, (image) => presentLabels(image, shapes)),
      only() {
        const [image] = answer.results as [Segmentation];
        const { labels } = image;
        return {
          ...image,
          map: labels,
          npy: () => encodeNpy('uint16', [labels.height, labels.width], labels.values),
          picture: (output) => ({ kind: 'labels', bytes: images[0]!.bytes, image, style: asked, output }),
        };
      },
    };
  },
});

function presentLabels(image: Segmentation, shapes: Shapes): object {
  const { labels, classes, unlabelled } = image;
  const polygons = shapes?.includes('polygons') ? polygonsOf(image) : undefined;
  const runLengths = shapes?.includes('rle') ? runLengthsOf(image) : undefined;
  return {
    ...presentImage({ ...image, map: labels }),
    unlabelled,
    classes: classes.map(({ boxes, ...rest }) => ({
      ...rest,
      color: `#${labelColor(rest.index).toString(16).padStart(6, '0')}`,
      boxes: boxes.map(presentBox),
      ...(polygons === undefined ? {} : { polygons: polygons.get(rest.index) }),
      ...(runLengths === undefined ? {} : { rle: runLengths.get(rest.index) }),
    })),
  };
}
