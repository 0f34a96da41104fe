/** POST /v1/heatmap: class maps, as a picture, as JSON or as an array, by Accept. */
import type { FastifyInstance } from 'fastify';
import { ANY_CLASS, bestClasses, resolveClasses } from '../../classes/classes.js';
import { drawHeatmap, pictureScores } from '../../drawing/draw.js';
import { heatmap, type HeatmapAnswer, type HeatmapOptions, type ImageHeatmaps } from '../../inference/heatmap.js';
import type { Box } from '../../maps/localize.js';
import { encodeNpy } from '../npy.js';
import type { CompiledModel } from '../../models/compile.js';
import { variesBy } from '../cross-origin.js';
import type { HttpParts } from '../parts.js';
import { readImages } from '../image-bodies.js';
import { describeClasses, describeGeometry, describeMap } from '../map-answer.js';
import { negotiate, pictureFormat } from '../media-type.js';
import { classesAskedFor, heatmapParameters, parseParameters } from '../parameters.js';
import { problemOf } from '../problem.js';
import { describeModel, limitPasses, modelReference, requestContext, roundTiming } from '../request.js';
import { heatmapResponse, serializerOf } from '../schemas.js';

const RESPONSE_CONTENT = {
  'application/json': { schema: serializerOf(heatmapResponse) },
  'image/png': { schema: {} },
  'image/webp': { schema: {} },
  'image/avif': { schema: {} },
  'application/x-npy': { schema: {} },
};

export function heatmapRoute(app: FastifyInstance, { config, registry, inference }: HttpParts): void {
  app.post('/v1/heatmap', { schema: { response: { 200: { content: RESPONSE_CONTENT } } } }, async (request, reply) => {
    variesBy(reply, 'Accept');
    const parameters = parseParameters(heatmapParameters, request.query);
    const context = requestContext(reply, parameters, config);
    registry.get(parameters.model);
    const images = await readImages(request, config);
    limitPasses(images.length * parameters.scale.length, config.maxImages);
    const { names, best } = classesAskedFor(parameters);
    const { render } = parameters;
    const mediaType = negotiate(request, (type) => {
      if (type === 'application/json') return undefined;
      if (images.length > 1) return 'holds one image';
      if (pictureFormat(type) === undefined) return undefined;
      if (render === 'gray16' && type !== 'image/png') return 'holds no 16-bit values';
      return render !== 'sheet' && names.length + best > 1 ? 'shows one class, but for render=sheet' : undefined;
    });

    return registry.use(parameters.model, async (model) => {
      const format = pictureFormat(mediaType);
      const scores = parameters.scores ?? (format === undefined ? 'probability' : pictureScores(model, render));
      const options: HeatmapOptions = {
        fit: parameters.fit,
        size: parameters.size,
        scales: parameters.scale,
        flip: parameters.flip,
        tiles: parameters.tiles,
        outputStride: parameters.outputStride,
        edge: parameters.edge,
        scores,
        classes: [...resolveClasses(names, model.labels), ...bestClasses(best, model.labels)],
        threshold: { value: parameters.threshold, of: parameters.thresholdOf },
      };
      const answer = await heatmap(inference, model, images, options, context);
      describeModel(reply, model);
      void reply.type(mediaType);
      if (mediaType === 'application/json') return reply.send(presentAnswer(answer, model, options));

      // One image: had it failed, so had the request.
      const [image] = answer.results as [ImageHeatmaps];
      describeMap(reply, image.classes[0]!.map, image);
      describeClasses(reply, image.classes);
      if (format === undefined) return reply.send(asNpy(image));
      const { bytes } = images[0]!;
      const picture = await inference.render(model, context, (checkpoint) =>
        drawHeatmap(bytes, image, { ...parameters, scores }, { ...config, format, checkpoint }),
      );
      return reply.send(picture);
    });
  });
}

function presentAnswer(
  { results, timing }: HeatmapAnswer,
  model: CompiledModel,
  { scores, threshold }: HeatmapOptions,
): object {
  return {
    model: modelReference(model),
    scores,
    threshold,
    results: results.map((result) =>
      'problem' in result ? { name: result.name, problem: problemOf(result.problem) } : presentImage(result),
    ),
    timing: roundTiming({ ...timing }),
  };
}

function presentImage(image: ImageHeatmaps): object {
  const { name, header, plan, geometry, classes } = image;
  return {
    name,
    width: header.width,
    height: header.height,
    input: { width: plan.crop.width, height: plan.crop.height, scale: plan.scale },
    map: describeGeometry(classes[0]!.map, geometry),
    classes: classes.map(({ index, map, box, regions, ...rest }) => ({
      ...(index === ANY_CLASS ? {} : { index }),
      ...rest,
      ...(box === undefined ? {} : { box: presentBox(box) }),
      regions: regions.map((region) => ({ box: presentBox(region.box), share: region.share })),
      values: Array.from({ length: map.height }, (_, row) =>
        Array.from(map.values.subarray(row * map.width, (row + 1) * map.width)),
      ),
    })),
  };
}

function presentBox({ left, top, width, height }: Box): object {
  return { x: left, y: top, width, height };
}

/** float32 `[classes, h, w]` */
function asNpy({ classes }: ImageHeatmaps): Buffer {
  const { height, width } = classes[0]!.map;
  const data = new Float32Array(classes.length * height * width);
  classes.forEach(({ map }, position) => data.set(map.values, position * height * width));
  return encodeNpy('float32', [classes.length, height, width], data);
}
