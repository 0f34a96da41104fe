/** What the page asks, with every setting as the page begins, but for what a test changes. */
import type { ModelDetail } from '../../src/client/index.js';
import type { Question } from '../../src/playground/question.js';

export const questionAbout =
  (model: ModelDetail) =>
  (changes: Partial<Question> = {}): Question => ({
    model,
    fit: 'whole',
    scale: 1,
    average: [1],
    flip: false,
    outputStride: undefined,
    edge: 'valid',
    ...changes,
  });
