/** POST /v1/heatmap: class maps, as a picture, as JSON or as an array, by Accept. */
import accepts from 'accepts';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError, toServiceError } from '../../errors.js';
import { resolveClasses } from '../../inference/classes.js';
import { drawHeatmap } from '../../inference/draw.js';
import { heatmap, type HeatmapAnswer, type HeatmapOptions, type ImageHeatmaps } from '../../inference/heatmap.js';
import { sumTimings, type ImageInput, type RequestContext } from '../../inference/infer.js';
import { encodeNpy } from '../../inference/npy.js';
import type { CompiledModel } from '../../models/compile.js';
import type { HttpParts } from '../http-server.js';
import { readImages } from '../images.js';
import { heatmapParameters, parseParameters, type HeatmapParameters } from '../parameters.js';
import { problemOf } from '../problem.js';
import { describeModel, modelReference, requestContext, roundTiming } from '../request.js';
import { heatmapResponse, serializerOf } from '../schemas.js';
import { limitPasses } from './classify.js';

/** In order of preference where the client has none. */
const MEDIA_TYPES = ['image/png', 'application/json', 'application/x-npy'] as const;
type MediaType = (typeof MEDIA_TYPES)[number];

export function heatmapRoute(app: FastifyInstance, { config, registry, inference, metrics }: HttpParts): void {
  app.post('/v1/heatmap', { schema: { response: { 200: { content: RESPONSE_CONTENT } } } }, async (request, reply) => {
    void reply.header('vary', 'Accept');
    const mediaType = negotiate(request);
    const parameters = parseParameters(heatmapParameters, request.query);
    const context = requestContext(reply, parameters, config);
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
      const images = await readImages(request, config);
      limitPasses(images.length * parameters.scale.length, config.maxImages);
      if (mediaType !== 'application/json' && images.length > 1) {
        throw new ServiceError('NOT_ACCEPTABLE', `${mediaType} holds one image; ask for application/json.`);
      }
      if (mediaType === 'image/png' && options.classes.length > 1) {
        throw new ServiceError(
          'NOT_ACCEPTABLE',
          'image/png shows one class; ask for application/json or application/x-npy.',
        );
      }
      const release = inference.admit(images.length * options.scales.length * (options.flip ? 2 : 1));
      try {
        describeModel(reply, model);
        if (mediaType === 'application/json') {
          return await reply.type(mediaType).send(await answerJson(model, images, options, context));
        }
        const { image } = await heatmap(inference, model, images[0]!, options, context);
        describeMap(reply, model, image);
        void reply.type(mediaType);
        if (mediaType === 'application/x-npy') return await reply.send(asNpy(image));
        const started = performance.now();
        const picture = await drawHeatmap(images[0]!.bytes, image, 0, parameters, config.background);
        metrics.observePhase('render', model.manifest.name, performance.now() - started);
        return await reply.send(picture);
      } finally {
        release();
      }
    });
  });

  async function answerJson(
    model: CompiledModel,
    images: readonly ImageInput[],
    options: HeatmapOptions,
    context: RequestContext,
  ): Promise<object> {
    const answers = await Promise.all(
      images.map((image) =>
        heatmap(inference, model, image, options, context).catch((error: unknown) => {
          const failure = toServiceError(error);
          if (images.length === 1 || context.signal.aborted || failure.status >= 500) throw error;
          return { name: image.name, problem: problemOf(failure) };
        }),
      ),
    );
    const answered = answers.filter((answer): answer is HeatmapAnswer => 'image' in answer);
    return {
      model: modelReference(model),
      scores: options.scores,
      results: answers.map((answer) => ('image' in answer ? presentImage(answer.image, model) : answer)),
      timing: roundTiming({ ...sumTimings(answered.map(({ timing }) => timing)) }),
    };
  }
}

const RESPONSE_CONTENT = {
  'application/json': { schema: serializerOf(heatmapResponse) },
  'image/png': { schema: {} },
  'application/x-npy': { schema: {} },
};

function negotiate(request: FastifyRequest): MediaType {
  const accepted = accepts(request.raw).type([...MEDIA_TYPES]);
  const mediaType = MEDIA_TYPES.find((type) => type === accepted);
  if (mediaType !== undefined) return mediaType;
  throw new ServiceError('NOT_ACCEPTABLE', `Nothing in "${request.headers.accept ?? ''}" can be given.`, {
    errors: [{ parameter: 'Accept', detail: `must allow one of: ${MEDIA_TYPES.join(', ')}` }],
  });
}

/** Throws OUTPUT_UNSUPPORTED for a stride or an edge that the model's class map does not have. */
function checkOutput({ outputStride, edge }: HeatmapParameters, model: CompiledModel): void {
  const own = model.geometry.outputStride;
  if (outputStride !== undefined && outputStride !== own) {
    throw new ServiceError(
      'OUTPUT_UNSUPPORTED',
      `${model.manifest.name} has no class map of output stride ${outputStride}.`,
      {
        errors: [{ parameter: 'outputStride', detail: `must be ${own}` }],
      },
    );
  }
  if (edge === 'same' && !model.poolsGlobally) {
    throw new ServiceError('OUTPUT_UNSUPPORTED', `${model.manifest.name} has no zero-padded head.`, {
      errors: [{ parameter: 'edge', detail: 'must be valid' }],
    });
  }
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

function mapOf({ classes }: ImageHeatmaps, { geometry }: CompiledModel) {
  const { height, width } = classes[0]!.map;
  const { outputStride, offset, receptiveField } = geometry;
  return { height, width, outputStride, offset, receptiveField };
}

/** What the picture and the array cannot say themselves: the classes, and where the cells are. */
function describeMap(reply: FastifyReply, model: CompiledModel, image: ImageHeatmaps): void {
  const { height, width, outputStride, offset, receptiveField } = mapOf(image, model);
  void reply
    .header(
      'fullconv-classes',
      image.classes.map(({ index, id }) => `${index};id="${encodeURIComponent(id)}"`).join(', '),
    )
    .header(
      'fullconv-map',
      `height=${height}, width=${width}, output-stride=${outputStride}, offset=${offset}, receptive-field=${receptiveField}`,
    )
    .header(
      'fullconv-input',
      `width=${image.plan.crop.width}, height=${image.plan.crop.height}, scale=${image.plan.scale}`,
    );
}

/** float32 `[classes, h, w]` */
function asNpy({ classes }: ImageHeatmaps): Buffer {
  const { height, width } = classes[0]!.map;
  const data = new Float32Array(classes.length * height * width);
  classes.forEach(({ map }, position) => data.set(map.values, position * height * width));
  return encodeNpy('float32', [classes.length, height, width], data);
}
