/** POST /v1/segment: the winning class of every position, as a picture, as JSON or as an array, by Accept. */
import type { FastifyInstance } from 'fastify';
import { drawLabels } from '../../drawing/draw.js';
import { encodeNpy } from '../npy.js';
import { polygonsOf, runLengthsOf } from '../../maps/outline.js';
import { segment, type SegmentAnswer, type Segmentation } from '../../inference/segment.js';
import { labelColor } from '../../drawing/render-labels.js';
import type { CompiledModel } from '../../models/compile.js';
import { variesBy } from '../cross-origin.js';
import type { HttpParts } from '../parts.js';
import { readImages } from '../image-bodies.js';
import { describeClasses, describeGeometry, describeMap } from '../map-answer.js';
import { negotiate, pictureFormat } from '../media-type.js';
import { parseParameters, segmentParameters, type SegmentParameters } from '../parameters.js';
import { problemOf } from '../problem.js';
import { describeModel, limitPasses, modelReference, requestContext, roundTiming } from '../request.js';
import { segmentResponse, serializerOf } from '../schemas.js';

const RESPONSE_CONTENT = {
  'application/json': { schema: serializerOf(segmentResponse) },
  'image/png': { schema: {} },
  'image/webp': { schema: {} },
  'image/avif': { schema: {} },
  'application/x-npy': { schema: {} },
};

export function segmentRoute(app: FastifyInstance, { config, registry, inference }: HttpParts): void {
  app.post('/v1/segment', { schema: { response: { 200: { content: RESPONSE_CONTENT } } } }, async (request, reply) => {
    variesBy(reply, 'Accept');
    const parameters = parseParameters(segmentParameters, request.query);
    const context = requestContext(reply, parameters, config);
    registry.get(parameters.model);
    const images = await readImages(request, config);
    limitPasses(images.length * parameters.scale.length, config.maxImages);
    const mediaType = negotiate(request, (type) =>
      type === 'application/json' || images.length === 1 ? undefined : 'holds one image',
    );

    return registry.use(parameters.model, async (model) => {
      const { fit, size, scale: scales, flip, tiles, outputStride, edge, minProbability } = parameters;
      const options = { fit, size, scales, flip, tiles, outputStride, edge, minProbability };
      const answer = await segment(inference, model, images, options, context);
      describeModel(reply, model);
      void reply.type(mediaType);
      if (mediaType === 'application/json') return reply.send(presentAnswer(answer, model, parameters.shapes));

      // One image: had it failed, so had the request.
      const [image] = answer.results as [Segmentation];
      const { labels } = image;
      describeMap(reply, labels, image);
      describeClasses(reply, image.classes);
      const format = pictureFormat(mediaType);
      if (format === undefined) {
        return reply.send(encodeNpy('uint16', [labels.height, labels.width], labels.values));
      }
      const { bytes } = images[0]!;
      const picture = await inference.render(model, context, (checkpoint) =>
        drawLabels(bytes, image, parameters, { ...config, format, checkpoint }),
      );
      return reply.send(picture);
    });
  });
}

type Shapes = SegmentParameters['shapes'];

function presentAnswer({ results, timing }: SegmentAnswer, model: CompiledModel, shapes: Shapes): object {
  return {
    model: modelReference(model),
    results: results.map((result) =>
      'problem' in result ? { name: result.name, problem: problemOf(result.problem) } : presentImage(result, shapes),
    ),
    timing: roundTiming({ ...timing }),
  };
}

function presentImage(image: Segmentation, shapes: Shapes): object {
  const { name, header, plan, geometry, labels, classes, unlabelled } = image;
  const polygons = shapes?.includes('polygons') ? polygonsOf(image) : undefined;
  const runLengths = shapes?.includes('rle') ? runLengthsOf(image) : undefined;
  return {
    name,
    width: header.width,
    height: header.height,
    input: { width: plan.crop.width, height: plan.crop.height, scale: plan.scale },
    map: describeGeometry(labels, geometry),
    unlabelled,
    classes: classes.map(({ boxes, ...rest }) => ({
      ...rest,
      color: `#${labelColor(rest.index).toString(16).padStart(6, '0')}`,
      boxes: boxes.map(({ left, top, width, height }) => ({ x: left, y: top, width, height })),
      ...(polygons === undefined ? {} : { polygons: polygons.get(rest.index) }),
      ...(runLengths === undefined ? {} : { rle: runLengths.get(rest.index) }),
    })),
  };
}
