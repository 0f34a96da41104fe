/** POST /v1/heatmap: class maps, as a picture, as JSON or as an array, by Accept. */
import accepts from 'accepts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../../errors.js';
import { resolveClasses } from '../../inference/classes.js';
import { drawHeatmap } from '../../inference/draw.js';
import { heatmap, type HeatmapAnswer, type HeatmapOptions, type ImageHeatmaps } from '../../inference/heatmap.js';
import { encodeNpy } from '../../inference/npy.js';
import { denseView, type CompiledModel } from '../../models/compile.js';
import type { HttpParts } from '../http-server.js';
import { readImages } from '../images.js';
import { heatmapParameters, parseParameters, type HeatmapParameters } from '../parameters.js';
import { problemOf } from '../problem.js';
import { describeModel, limitPasses, modelReference, requestContext, roundTiming } from '../request.js';
import { heatmapResponse, serializerOf } from '../schemas.js';

/** In order of preference where the client has none. */
const MEDIA_TYPES = ['image/png', 'application/json', 'application/x-npy'] as const;
type MediaType = (typeof MEDIA_TYPES)[number];

const RESPONSE_CONTENT = {
  'application/json': { schema: serializerOf(heatmapResponse) },
  'image/png': { schema: {} },
  'application/x-npy': { schema: {} },
};

export function heatmapRoute(app: FastifyInstance, { config, registry, inference }: HttpParts): void {
  app.post('/v1/heatmap', { schema: { response: { 200: { content: RESPONSE_CONTENT } } } }, async (request, reply) => {
    void reply.header('vary', 'Accept');
    const parameters = parseParameters(heatmapParameters, request.query);
    const context = requestContext(reply, parameters, config);
    registry.get(parameters.model);
    const images = await readImages(request, config);
    limitPasses(images.length * parameters.scale.length, config.maxImages);
    const mediaType = negotiate(request, images.length, parameters.class.length);

    return registry.use(parameters.model, async (model) => {
      checkOutput(parameters, model);
      const options: HeatmapOptions = {
        fit: parameters.fit,
        size: parameters.size,
        scales: parameters.scale,
        flip: parameters.flip,
        scores: parameters.scores,
        classes: resolveClasses(parameters.class, model.labels),
      };
      const answer = await heatmap(inference, model, images, options, context);
      describeModel(reply, model);
      void reply.type(mediaType);
      if (mediaType === 'application/json') return reply.send(presentAnswer(answer, model, options));

      // One image: had it failed, so had the request.
      const [image] = answer.results as [ImageHeatmaps];
      describeMap(reply, model, image);
      if (mediaType === 'application/x-npy') return reply.send(asNpy(image));
      const { bytes } = images[0]!;
      const picture = await inference.render(model, context, (checkpoint) =>
        drawHeatmap(bytes, image, 0, parameters, config.background, checkpoint),
      );
      return reply.send(picture);
    });
  });
}

/** The best accepted type that can hold what is asked for. Throws NOT_ACCEPTABLE with the reason. */
function negotiate(request: FastifyRequest, images: number, classes: number): MediaType {
  const accepted = accepts(request.raw).type([...MEDIA_TYPES]);
  if (accepted === false) {
    throw new ServiceError('NOT_ACCEPTABLE', `Nothing in "${request.headers.accept ?? ''}" can be given.`, {
      errors: [{ parameter: 'Accept', detail: `must allow one of: ${MEDIA_TYPES.join(', ')}` }],
    });
  }
  const holding = MEDIA_TYPES.filter(
    (type) => type === 'application/json' || (images === 1 && (type === 'application/x-npy' || classes === 1)),
  );
  const mediaType = holding.find((type) => type === accepts(request.raw).type(holding));
  if (mediaType !== undefined) return mediaType;
  throw new ServiceError(
    'NOT_ACCEPTABLE',
    images > 1
      ? `${accepted.toString()} holds one image; ask for application/json.`
      : `${accepted.toString()} shows one class; ask for application/json or application/x-npy.`,
  );
}

/** Throws OUTPUT_UNSUPPORTED for a model without a class map, and for a stride or an edge that the model's class map does not have. */
function checkOutput({ outputStride, edge }: HeatmapParameters, model: CompiledModel): void {
  const { geometry, poolsGlobally } = denseView(model);
  const own = geometry.outputStride;
  if (outputStride !== undefined && outputStride !== own) {
    const detail = `${model.manifest.name} has no class map of output stride ${outputStride}.`;
    throw new ServiceError('OUTPUT_UNSUPPORTED', detail, {
      errors: [{ parameter: 'outputStride', detail: `must be ${own}` }],
    });
  }
  if (edge === 'same' && !poolsGlobally) {
    throw new ServiceError('OUTPUT_UNSUPPORTED', `${model.manifest.name} has no zero-padded head.`, {
      errors: [{ parameter: 'edge', detail: 'must be valid' }],
    });
  }
}

function presentAnswer({ results, timing }: HeatmapAnswer, model: CompiledModel, { scores }: HeatmapOptions): object {
  return {
    model: modelReference(model),
    scores,
    results: results.map((result) =>
      'problem' in result ? { name: result.name, problem: problemOf(result.problem) } : presentImage(result, model),
    ),
    timing: roundTiming({ ...timing }),
  };
}

function presentImage(image: ImageHeatmaps, model: CompiledModel): object {
  const { name, header, plan, classes } = image;
  return {
    name,
    width: header.width,
    height: header.height,
    input: { width: plan.crop.width, height: plan.crop.height, scale: plan.scale },
    map: mapOf(image, model),
    classes: classes.map(({ map, box, ...rest }) => ({
      ...rest,
      box: { x: box.left, y: box.top, width: box.width, height: box.height },
      values: Array.from({ length: map.height }, (_, row) =>
        Array.from(map.values.subarray(row * map.width, (row + 1) * map.width)),
      ),
    })),
  };
}

function mapOf({ classes }: ImageHeatmaps, model: CompiledModel) {
  const { height, width } = classes[0]!.map;
  const { outputStride, offset, receptiveField } = denseView(model).geometry;
  return { height, width, outputStride, offset, receptiveField };
}

/** What the picture and the array cannot say themselves: the classes, and where the cells are. */
function describeMap(reply: FastifyReply, model: CompiledModel, image: ImageHeatmaps): void {
  const { height, width, outputStride, offset, receptiveField } = mapOf(image, model);
  const { plan, classes } = image;
  void reply
    .header('fullconv-classes', classes.map(({ index, id }) => `${index};id="${encodeURIComponent(id)}"`).join(', '))
    .header(
      'fullconv-map',
      `height=${height}, width=${width}, output-stride=${outputStride}, offset=${offset}, receptive-field=${receptiveField}`,
    )
    .header('fullconv-input', `width=${plan.crop.width}, height=${plan.crop.height}, scale=${plan.scale}`);
}

/** float32 `[classes, h, w]` */
function asNpy({ classes }: ImageHeatmaps): Buffer {
  const { height, width } = classes[0]!.map;
  const data = new Float32Array(classes.length * height * width);
  classes.forEach(({ map }, position) => data.set(map.values, position * height * width));
  return encodeNpy('float32', [classes.length, height, width], data);
}
