/** POST /v1/classify: the top-k classes of one or many images. */
import type { FastifyInstance } from 'fastify';
import { ServiceError } from '../../errors.js';
import { classify, type ClassifyAnswer } from '../../inference/classify.js';
import type { ScoreKind } from '../../maps/scores.js';
import type { HttpParts } from '../parts.js';
import { readImages } from '../image-bodies.js';
import { classifyParameters, parseParameters } from '../parameters.js';
import { problemOf } from '../problem.js';
import { describeModel, limitPasses, modelReference, requestContext, roundTiming } from '../request.js';
import { classifyResponse, serializerOf } from '../schemas.js';

export function classifyRoute(app: FastifyInstance, { config, registry, inference }: HttpParts): void {
  app.post(
    '/v1/classify',
    { schema: { response: { 200: serializerOf(classifyResponse) } } },
    async (request, reply) => {
      const parameters = parseParameters(classifyParameters, request.query);
      const { model: name, scale: scales, priority, deadlineMs, ...options } = parameters;
      const context = requestContext(reply, { priority, deadlineMs }, config);
      registry.get(name);
      const images = await readImages(request, config);
      limitPasses(images.length * scales.length, config.maxImages);

      return registry.use(name, async (model) => {
        if (options.topK > model.labels.length) {
          throw new ServiceError('INVALID_REQUEST', `The model has ${model.labels.length} classes.`, {
            errors: [{ parameter: 'topK', detail: `must be from 1 to ${model.labels.length}` }],
          });
        }
        const answer = await classify(inference, model, images, { ...options, scales }, context);
        describeModel(reply, model);
        return {
          model: modelReference(model),
          results: answer.results.map((result) => presentResult(result, options.scores)),
          timing: roundTiming({ ...answer.timing }),
        };
      });
    },
  );
}

function presentResult(result: ClassifyAnswer['results'][number], kind: ScoreKind): object {
  if ('problem' in result) return { name: result.name, problem: problemOf(result.problem) };
  const { predictions, ...rest } = result;
  return { ...rest, predictions: predictions.map(({ score, ...label }) => ({ ...label, [kind]: score })) };
}
