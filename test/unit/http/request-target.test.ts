/** Where a request target is cut: where the router cuts it, whatever is in it. */
import Fastify from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import { nothingAt } from '../../../src/http/reach.js';
import { isOpenInference } from '../../../src/http/open-inference/error-form.js';
import { safeUrl } from '../../../src/http/request-notes.js';
import { checkTarget, splitTarget } from '../../../src/http/request-target.js';
import { head, rawClient } from '../../support/raw-client.js';

const TARGETS = [
  '/a',
  '/a?',
  '/a?b=1&c=2',
  '/a?b=1?c=2',
  '/a#b=1?c=2',
  '/a?b=1#c=2',
  '/a#',
  '/a%3Fb?c=1',
  '/a%23b?c=1',
];

it('the path and the query are those that the router sees', async () => {
  const app = Fastify();
  onTestFinished(() => app.close());
  app.get('/*', ({ query, params }) => ({ query, path: `/${(params as Record<string, string>)['*']}` }));
  const url = await app.listen({ port: 0, host: '127.0.0.1' });
  for (const target of TARGETS) {
    const client = await rawClient(url);
    await client.send(head(`GET ${target}`, { Connection: 'close' }));
    const { path, query } = splitTarget(target);
    const answer = JSON.parse((await client.ended()).split('\r\n\r\n')[1]!) as object;
    expect(answer, target).toEqual({
      path: decodeURIComponent(path),
      query: Object.fromEntries(new URLSearchParams(query ?? '')),
    });
  }
});

it('a query may be empty, and there may be none', () => {
  expect(splitTarget('/a?')).toEqual({ path: '/a', query: '' });
  expect(splitTarget('/a')).toEqual({ path: '/a', query: undefined });
});

describe('a target with a "#"', () => {
  const target = '/v2/x#url=secret&topK=1?url=open';

  it('is refused and counted', () => {
    const refused: string[] = [];
    const check = (text: string) => () => checkTarget(text, (refusal) => refused.push(refusal));
    expect(check(target)).toThrow('"#"');
    expect(check('/v2/x?a=%23')).not.toThrow();
    expect(refused).toEqual(['malformed']);
  });

  it('shows neither its secrets nor its query', () => {
    expect(safeUrl(target)).toBe('/v2/x#url=REDACTED&topK=1?url=open');
    expect(nothingAt({ method: 'GET', url: target }).message).toBe('There is nothing at GET /v2/x.');
  });

  it('is one of the Open Inference Protocol by its path alone', () => {
    expect(['/v2', '/v2?a', '/v2#a', '/v2/models', '/v2/'].map((url) => isOpenInference({ url }))).toEqual([
      ...[true, true, true, true, true],
    ]);
    expect(['/v20', '/v1#/v2/', '/?/v2/'].map((url) => isOpenInference({ url }))).toEqual([false, false, false]);
  });
});
