/** POST /v1/classify: the top-k classes of one or many images. */
import { z } from 'zod';
import { ServiceError } from '../../errors.js';
import { classify, DEFAULT_TOP_K, type Classification } from '../../inference/classify.js';
import { FITS } from '../../maps/input-plan.js';
import type { CompiledModel } from '../../models/compile.js';
import { imageParameters, imageRoute, presentAnswer } from '../image-route.js';
import { jsonWriter, lazily } from '../json-text.js';
import { integer, oneOf } from '../parameters.js';
import { sendPieces } from '../pieces.js';
import { describeModel, MODEL_HEADERS } from '../request.js';
import { json } from '../route.js';
import { imagesAnswer } from '../schemas.js';

const query = z.strictObject({
  ...imageParameters,
  fit: oneOf(FITS, '', "default: the model's own, which is crop unless its manifest says stretch").optional(),
  topK: integer(1, 100_000)
    .optional()
    .describe('How many classes; at most the number the model has. Default: 5, or all if it has fewer'),
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

/** 25 MB of text. */
export const MAX_PREDICTIONS = 2 ** 18;

/** Answers of more predictions are written in pieces. Fastify writes shorter ones, in a millisecond at most. */
const MANY_PREDICTIONS = 2000;

/** The memory of a prediction that waits to be written; its label is the model's own. */
const PREDICTION_BYTES = 64;

const writeMany = jsonWriter(classification);

export const classifyRoute = imageRoute({
  path: '/v1/classify',
  operationId: 'classify',
  summary: 'The top-k classes of one or many images',
  query,
  answers: { 200: json(classification, undefined, MODEL_HEADERS) },
  async answer({ registry, inference }, { reply, query: { model: name, version, ...asked }, images, context, wait }) {
    const { fit, size, scale: scales, flip, topK, scores } = asked;
    const predicted = images.length * scales.length * (topK ?? DEFAULT_TOP_K);
    const isMany = predicted > MANY_PREDICTIONS;
    const answerBy = async (model: CompiledModel): Promise<object> => {
      checkTopK(topK, model.labels.length, predicted);
      const options = { fit, size, scales, flip, topK, scores };
      const answer = await classify(inference, model, images, options, context);
      describeModel(reply, model);
      return presentAnswer<Classification>(model, answer, ({ predictions, ...rest }) => {
        const shown = lazily(predictions, ({ score, ...label }) => ({ ...label, [scores]: score }));
        return { ...rest, predictions: isMany ? shown : [...shown] };
      });
    };
    const body = await registry.use(name, answerBy, { version, wait });
    if (!isMany) return body;
    return sendPieces(reply.type('application/json; charset=utf-8'), writeMany(body), predicted * PREDICTION_BYTES);
  },
});

/** Throws INVALID_REQUEST if the model has fewer classes, or the answer would have too many. */
export function checkTopK(topK: number | undefined, classes: number, predicted: number): void {
  if (topK !== undefined && topK > classes) {
    throw new ServiceError('INVALID_REQUEST', `The model has ${classes} classes.`, {
      errors: [{ parameter: 'topK', detail: `must be from 1 to ${classes}` }],
    });
  }
  if (predicted > MAX_PREDICTIONS) {
    throw new ServiceError('INVALID_REQUEST', `The answer would have ${predicted} predictions.`, {
      errors: [
        { parameter: 'topK', detail: `at most ${MAX_PREDICTIONS} predictions (images × scales × topK) in an answer` },
      ],
      limit: { name: 'predictions', value: MAX_PREDICTIONS, needed: predicted },
    });
  }
}
