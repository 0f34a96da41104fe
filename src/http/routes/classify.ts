/** /v1/classify: the top-k classes of one or many images. */
import { z } from 'zod';
import { ServiceError } from '../../errors.js';
import { classify, DEFAULT_TOP_K, type Classification } from '../../inference/classify.js';
import { FITS } from '../../maps/input-plan.js';
import { JSON_TYPE } from '../answer.js';
import { CACHE_HEADERS } from '../answer-once.js';
import { areWhole, imageParameters, imageRoutes, presentAnswer } from '../image-route.js';
import { jsonWriter, lazily } from '../json-text.js';
import { integer, oneOf } from '../parameters.js';
import { MODEL_HEADERS, modelHeaders } from '../request.js';
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

/** The memory of a prediction that waits to be written; its label is the model's own. */
const PREDICTION_BYTES = 64;

const write = jsonWriter(classification);

export const classifyRoutes = imageRoutes({
  path: '/v1/classify',
  operationId: 'classify',
  summary: 'The top-k classes of one or many images',
  query,
  answers: { 200: json(classification, undefined, { ...MODEL_HEADERS, ...CACHE_HEADERS }) },
  asked: 'scores',
  canonical: ({ topK, ...asked }, { labels }) => ({ ...asked, topK: topK ?? Math.min(DEFAULT_TOP_K, labels.length) }),
  async answer({ inference }, { query: asked, model, images, context }) {
    const { fit, size, scale: scales, flip, topK, scores } = asked;
    const predicted = images.length * scales.length * (topK ?? DEFAULT_TOP_K);
    checkTopK(topK, model.labels.length, predicted);
    const answer = await classify(inference, model, images, { fit, size, scales, flip, topK, scores }, context);
    const body = presentAnswer<Classification>(model, answer, ({ predictions, ...rest }) => ({
      ...rest,
      predictions: lazily(predictions, ({ score, ...label }) => ({ ...label, [scores]: score })),
    }));
    return {
      headers: { ...modelHeaders(model), 'content-type': JSON_TYPE },
      body: { pieces: write(body), sourceBytes: predicted * PREDICTION_BYTES },
      isWhole: areWhole(answer.results),
      isTimed: true,
    };
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
