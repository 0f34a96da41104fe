/** The page's question with the settings that the page begins with, except for a test's `changes`. */
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
    map: undefined,
    ...changes,
  });
