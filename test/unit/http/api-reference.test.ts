import { describe, expect, it } from 'vitest';
import { apiReference } from '../../../src/http/api-reference.js';
import { openapiDocument } from '../../../src/http/openapi.js';
import { ROUTES } from '../../../src/http/routes/index.js';

const text = apiReference(openapiDocument(ROUTES));
/** What the reference says of an operation, without its tables. */
const introduction = (operationId: string): string =>
  new RegExp(`<section id="${operationId}"><h2>.*?</h2><p>(.*?)</p>`).exec(text)![1]!;

describe('the reference says which key an operation needs', () => {
  it.each([
    ['classify', ' Needs a key with the scope <code>infer</code>, where the server asks for keys.'],
    ['listModels', ' Needs a key with the scope <code>models</code>, where the server asks for keys.'],
    ['loadModel', ' Needs a key with the scope <code>admin</code>.'],
    ['metrics', ' Needs a key with the scope <code>metrics</code>, where the server asks for keys.'],
  ])('%s', (operationId, sentence) => {
    expect(introduction(operationId)).toContain(`.${sentence}`);
  });

  it('and that others need none', () => {
    expect(introduction('live')).toBe('The process is alive.');
  });
});
