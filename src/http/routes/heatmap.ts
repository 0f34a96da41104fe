/** /v1/heatmap: class maps, as a picture, as JSON or as an array, by Accept. */
import { z } from 'zod';
import { ANY_CLASS, MAX_CLASSES, bestClasses, resolveClasses } from '../../classes/classes.js';
import { pictureScores } from '../../drawing/studio.js';
import { DRAWINGS, OPACITIES, SHEET_CLASSES } from '../../drawing/words.js';
import { heatmap, type HeatmapOptions, type ImageHeatmaps } from '../../inference/heatmap.js';
import type { ValueLimit } from '../../inference/map-account.js';
import { COLORMAP_NAMES, DEFAULT_COLORMAP } from '../../maps/colormap.js';
import { THRESHOLDS } from '../../maps/localize.js';
import { MAX_REGIONS } from '../../maps/regions.js';
import { INTERPOLATIONS, type ClassMap } from '../../maps/row-sampler.js';
import { MAP_SCORES } from '../../maps/scores.js';
import { RANGES } from '../../maps/value-range.js';
import type { CompiledModel } from '../../models/compile.js';
import { wordsOf } from '../../vocabulary.js';
import { areWhole, presentAnswer } from '../image-route.js';
import { CLASS_HEADERS, presentBox, presentImage } from '../map-answer.js';
import { mapParameters, mapRoutes, type MapQuestion } from '../map-route.js';
import { pictureFormat } from '../media-type.js';
import { lazily } from '../json-text.js';
import { npyFile, type NpyFile } from '../npy.js';
import { flag, integer, number, oneOf, repeated } from '../parameters.js';
import { box, imagesAnswer, map } from '../schemas.js';

/** 85 MB of text, which takes one to two seconds of the thread that answers everybody. */
const MAX_JSON_VALUES: ValueLimit = { values: 2 ** 22, orElse: ', or application/x-npy for one image' };

const query = z
  .strictObject({
    ...mapParameters,
    scores: oneOf(
      MAP_SCORES,
      '',
      "absent: probability, or for pictures the model's maps.scores if it has one",
    ).optional(),
    class: repeated(z.string().min(1), MAX_CLASSES)
      .optional()
      .describe(
        "Index, id or label, repeated for several: a comma is a part of a label. index:3, id:… and label:… say which is meant, as they must where a number is the index of one class and the label of another. top: the image's own best class; none: the best class of each position. Absent: top",
      ),
    top: integer(1, MAX_CLASSES)
      .optional()
      .describe(
        `This many of the image's own best classes, after those of class; with those at most ${MAX_CLASSES} maps`,
      ),
    threshold: number(-1000, 1000)
      .default(0.5)
      .describe('Cells at or above it belong to the boxes, regions and share of a class'),
    thresholdOf: oneOf(THRESHOLDS, 'What threshold is').default('range'),
    render: oneOf(DRAWINGS, 'For pictures').default('overlay'),
    colormap: z.enum(COLORMAP_NAMES).default(DEFAULT_COLORMAP).describe('For pictures'),
    opacity: oneOf(OPACITIES, 'Where alpha holds, for render=overlay and sheet').default('constant'),
    legend: flag
      .default(false)
      .describe('For overlay, heat and contours: add the bar of colours with its values below'),
    interpolation: oneOf(
      INTERPOLATIONS,
      'Between cells, for pictures',
      'absent: bicubic for contours, otherwise bilinear',
    ).optional(),
    range: oneOf(RANGES, 'What the colours span', 'absent: minmax for logits, otherwise absolute').optional(),
  })
  .refine(({ threshold, thresholdOf }) => thresholdOf === 'value' || (threshold >= 0 && threshold <= 1), {
    path: ['threshold'],
    error: 'must be a number from 0 to 1, a part of the range, unless thresholdOf is value',
  })
  .refine(({ class: names = [], top = 0 }) => names.length + top <= MAX_CLASSES, {
    path: ['top'],
    error: `must be at most ${MAX_CLASSES} together with the number of classes named by class`,
  });

type Query = z.output<typeof query>;

const classMap = z.object({
  index: z.number().int().optional().describe('Absent for class=none'),
  id: z.string(),
  label: z.string(),
  normalizedFrom: z
    .object({ low: z.number(), high: z.number() })
    .optional()
    .describe('With scores=normalized: the raw scores that became 0 and 1'),
  peak: z.object({ x: z.number(), y: z.number(), value: z.number() }).describe('In photo pixels'),
  box: box
    .optional()
    .describe('In photo pixels: the region around the peak; absent if the peak is below the threshold'),
  level: z.number().describe('The threshold as a value of this map'),
  share: z.number().describe('Fraction of the cells that are at or above the level'),
  regions: z
    .array(z.object({ box, share: z.number().describe('Fraction of the cells') }))
    .describe(
      `The connected regions at or above the level, the largest first; at most ${MAX_REGIONS} of an image, shared evenly by its maps`,
    ),
  regionsLeftOut: z.number().int().optional().describe('Smaller regions that are not listed; absent if all are'),
  mean: z.number().describe('Over all cells'),
  values: z.array(z.array(z.number())).describe('[h][w]'),
});

const heatmaps = imagesAnswer(
  { map: map.optional(), classes: z.array(classMap).optional() },
  {
    scores: z.enum(wordsOf(MAP_SCORES)).describe('The kind of all values in the answer'),
    threshold: z
      .object({ value: z.number(), of: z.enum(wordsOf(THRESHOLDS)) })
      .describe("As asked for: a part of each map's range, or one of its values"),
  },
).meta({ id: 'Heatmaps' });

export const heatmapRoutes = mapRoutes({
  path: '/v1/heatmap',
  operationId: 'heatmap',
  summary: 'Class maps: where in the image each class is',
  query,
  description: `A picture at the size of the photo, the maps as JSON, or as an array float32 [classes, h, w]. ${CLASS_HEADERS}`,
  schema: heatmaps,
  errors: ['CLASS_NOT_FOUND'],
  whyNot(type, asked) {
    if (pictureFormat(type) === undefined) return undefined;
    const { render } = asked;
    if (render === 'gray16' && type !== 'image/png') return 'holds no 16-bit values';
    const { names, best } = classesAskedFor(asked);
    return render !== 'sheet' && names.length + best > 1 ? 'shows one class unless render=sheet' : undefined;
  },
  picture(asked, model) {
    const { names, best } = classesAskedFor(asked);
    const scores = asked.scores ?? pictureScores(model, asked.render);
    return { kind: 'heatmap', style: { ...asked, scores }, classes: names.length + best };
  },
  canonical(asked) {
    const { names, best } = classesAskedFor(asked);
    return { ...asked, class: names, top: best };
  },
  async answer({ inference }, question) {
    const { query: asked, images, model, context } = question;
    const options = optionsOf(question);
    const { scores, threshold } = options;
    const answer = await heatmap(inference, model, images, options, context);
    return {
      isWhole: areWhole(answer.results),
      bytes: () => bytesOf(answer.results.flatMap((result) => ('classes' in result ? result.classes : []))),
      json() {
        return { ...presentAnswer(model, answer, presentMaps), scores, threshold };
      },
      only() {
        const [image] = answer.results as [ImageHeatmaps];
        return {
          ...image,
          map: image.classes[0]!.map,
          npy: () => asNpy(image),
          picture: (output) => ({
            kind: 'heatmap',
            bytes: images[0]!.bytes,
            // No picture shows regions: they need not travel to the process that draws.
            image: { ...image, classes: image.classes.map((drawn) => ({ ...drawn, regions: [] })) },
            style: { ...asked, scores },
            output,
          }),
        };
      },
    };
  },
});

function bytesOf(classes: ImageHeatmaps['classes']): number {
  return classes.reduce((sum, { map: { values } }) => sum + values.byteLength, 0);
}

function optionsOf({ query: asked, model, mediaType, checkHeader }: MapQuestion<Query>) {
  const { fit, size, scale: scales, flip, tiles, outputStride, edge, map, render } = asked;
  return {
    ...{ fit, size, scales, flip, tiles, outputStride, edge, map },
    scores: asked.scores ?? (pictureFormat(mediaType) === undefined ? 'probability' : pictureScores(model, render)),
    classes: selectorsOf(asked, model),
    threshold: { value: asked.threshold, of: asked.thresholdOf },
    checkHeader,
    maxValues: mediaType === 'application/json' ? MAX_JSON_VALUES : undefined,
  } satisfies HeatmapOptions;
}

function selectorsOf(asked: Query, { labels }: CompiledModel) {
  const { names, best } = classesAskedFor(asked);
  return [...resolveClasses(names, labels), ...bestClasses(best, labels)];
}

/** The classes that a request names, and how many of the image's own best it asks for; at most MAX_CLASSES together. */
function classesAskedFor({ class: names, top, render }: Query): {
  readonly names: readonly string[];
  readonly best: number;
} {
  const best = top ?? (render === 'sheet' && names === undefined ? SHEET_CLASSES : 0);
  return { names: names ?? (best === 0 ? ['top'] : []), best };
}

function presentMaps(image: ImageHeatmaps): object {
  const { classes } = image;
  return {
    ...presentImage({ ...image, map: classes[0]!.map }),
    classes: lazily(classes, ({ index, map, box: found, regions, regionsLeftOut, ...rest }) => ({
      ...(index === ANY_CLASS ? {} : { index }),
      ...rest,
      ...(found === undefined ? {} : { box: presentBox(found) }),
      regions: lazily(regions, (region) => ({ box: presentBox(region.box), share: region.share })),
      ...(regionsLeftOut === 0 ? {} : { regionsLeftOut }),
      values: rowsOf(map),
    })),
  };
}

function* rowsOf({ values, height, width }: ClassMap): Generator<Float32Array, void, void> {
  for (let row = 0; row < height; row++) yield values.subarray(row * width, (row + 1) * width);
}

/** float32 `[classes, h, w]` */
function asNpy({ classes }: ImageHeatmaps): NpyFile {
  const { height, width } = classes[0]!.map;
  const maps = classes.map(({ map: { values } }) => values);
  return npyFile('float32', [classes.length, height, width], maps);
}
