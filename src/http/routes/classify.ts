/** POST /v1/classify: the top-k classes of one or many images. */
import { z } from 'zod';
import { ServiceError } from '../../errors.js';
import { classify, type Classification } from '../../inference/classify.js';
import { FITS } from '../../maps/input-plan.js';
import { imageParameters, imageRoute, presentAnswer } from '../image-route.js';
import { integer, oneOf } from '../parameters.js';
import { describeModel } from '../request.js';
import { json } from '../route.js';
import { imagesAnswer } from '../schemas.js';

const query = z.strictObject({
  ...imageParameters,
  fit: oneOf(FITS).default('crop'),
  topK: integer(1, 100_000).default(5).describe('How many classes; at most the number the model has'),
});

const prediction = z
  .object({
    index: z.number().int(),
    id: z.string(),
    label: z.string(),
    probability: z.number().optional().describe('With scores=probability'),
    logit: z.number().optional().describe('With scores=logit'),
  })
  .meta({ id: 'Prediction' });

const classification = imagesAnswer({ predictions: z.array(prediction).optional() }).meta({ id: 'Classification' });

export const classifyRoute = imageRoute({
  path: '/v1/classify',
  operationId: 'classify',
  summary: 'The top-k classes of one or many images',
  query,
  answers: { 200: json(classification) },
  answer({ registry, inference }, { reply, query: { model: name, ...asked }, images, context }) {
    return registry.use(name, async (model) => {
      const { fit, size, scale: scales, flip, topK, scores } = asked;
      if (topK > model.labels.length) {
        throw new ServiceError('INVALID_REQUEST', `The model has ${model.labels.length} classes.`, {
          errors: [{ parameter: 'topK', detail: `must be from 1 to ${model.labels.length}` }],
        });
      }
      const options = { fit, size, scales, flip, topK, scores };
      const answer = await classify(inference, model, images, options, context);
      describeModel(reply, model);
      return presentAnswer<Classification>(model, answer, ({ predictions, ...rest }) => ({
        ...rest,
        predictions: predictions.map(({ score, ...label }) => ({ ...label, [scores]: score })),
      }));
    });
  },
});
