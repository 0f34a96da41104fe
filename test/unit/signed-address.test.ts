/** Which addresses hold, and until when. */
import { createHmac } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { signAddress } from '../../src/cli/commands/sign.js';
import { faultOfAddress, signedQuery } from '../../src/signed-address.js';

const [NEW, OLD] = ['new-key-0123456789', 'old-key-0123456789'] as const;
const PATH = '/v1/heatmap';
const QUERY = 'url=https%3A%2F%2Fimages.example.com%2Fcat.jpg&class=a+b';
const NOW = 1_790_000_000;
const signed = signedQuery(PATH, QUERY, NEW, NOW + 60);
const faultOf = (query: string, { path = PATH, keys = [NEW, OLD] as readonly string[], now = NOW } = {}) =>
  faultOfAddress(path, query, keys, now);

describe('a signed address', () => {
  it('holds until it is over, with either key', () => {
    expect(signed).toMatch(/^url=.*&class=a\+b&expires=1790000060&signature=[\w-]{43}$/);
    expect(faultOf(signed)).toBeUndefined();
    expect(faultOf(signed, { now: NOW + 59 })).toBeUndefined();
    expect(faultOf(signed, { now: NOW + 60 })).toBe('expired');
    expect(faultOf(signedQuery(PATH, QUERY, OLD, NOW + 60))).toBeUndefined();
    expect(faultOf(signedQuery(PATH, QUERY, OLD, NOW + 60), { keys: [NEW] })).toBe('wrong');
  });

  it('is the HMAC-SHA256 of what its documents say', () => {
    const text = `${PATH}?${QUERY}&expires=${NOW + 60}`;
    expect(signed).toBe(
      `${text.slice(PATH.length + 1)}&signature=${createHmac('sha256', NEW).update(text).digest('base64url')}`,
    );
  });

  it('may have its signature anywhere in the query', () => {
    const parts = signed.split('&');
    expect(faultOf([parts.at(-1), ...parts.slice(0, -1)].join('&'))).toBeUndefined();
  });

  it.each<[string, string]>([
    ['another parameter', signed.replace('class=a', 'class=b')],
    ['a further parameter', `${signed}&flip=1`],
    ['a further parameter before', `flip=1&${signed}`],
    ['another order', signed.split('&').reverse().join('&')],
    ['another way to write the same', signed.replace('a+b', 'a%20b')],
    ['a later end', signed.replace('expires=1790000060', 'expires=1790000061')],
    ['an earlier end', signed.replace('expires=1790000060', 'expires=179000006')],
    ['another signature', signed.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))],
    ['a short signature', signed.slice(0, -1)],
    ['an empty signature', signed.replace(/signature=.*/, 'signature=')],
    ['a second signature', `${signed}&signature=x`],
    ['its signature twice', `${signed}&${signed.split('&').at(-1)!}`],
    ['no parameters', signed.split('&').at(-1)!],
  ])('does not hold with %s', (_, query) => {
    expect(faultOf(query)).toBe('wrong');
  });

  it('does not hold for another path, without a signature, or without an end', () => {
    expect(faultOf(signed, { path: '/v1/segment' })).toBe('wrong');
    expect(faultOf(QUERY)).toBe('missing');
    expect(faultOf('')).toBe('missing');
    for (const query of [QUERY, `${QUERY}&expires=soon`, `expires=1&${QUERY}&expires=${NOW + 60}`]) {
      const signature = createHmac('sha256', NEW).update(`${PATH}?${query}`).digest('base64url');
      expect(faultOf(`${query}&signature=${signature}`), query).toBe('endless');
    }
  });

  it('with what only looks like a parameter of its own', () => {
    expect(faultOf(signed.replace('signature=', '%73ignature='))).toBe('missing');
    expect(faultOf(signed.replace('signature=', 'Signature='))).toBe('missing');
  });
});

it.each(['curl', 'python'])('the address on the page of recipes for %s holds', async (page) => {
  const text = await readFile(new URL(`../../docs/recipes/${page}.md`, import.meta.url), 'utf8');
  const [, path, query] = /^(\/v1\/heatmap)\?(.*signature=.*)$/m.exec(text)!;
  const [key] = /0123456789abcdef-an-example/.exec(text)!;
  expect(faultOfAddress(path!, query!, [key], NOW)).toBeUndefined();
});

describe('fullconv sign', () => {
  const end = NOW + 60;

  it('signs the address as a browser will send it, from /v1 on', () => {
    const image = encodeURIComponent('https://images.example.com/a b.jpg?x=1&y=2');
    for (const before of ['https://example.com', 'http://[::1]:8080', 'https://example.com/behind/a/proxy', '']) {
      const address = signAddress(`${before}/v1/heatmap?url=${image}&class=café`, NEW, end);
      expect(address.startsWith(`${before}/v1/heatmap?url=${image}&class=caf%C3%A9&expires=${end}&signature=`)).toBe(
        true,
      );
      expect(faultOf(address.slice(address.indexOf('?') + 1))).toBeUndefined();
      if (before !== '') expect(new URL(address).href).toBe(address);
    }
  });

  it.each([
    ['nothing', 'is no address'],
    ['https://example.com/v1/models?url=x', 'only addresses of'],
    ['https://example.com/v1/heatmap', 'no image'],
    ['/v1/heatmap?url=x&expires=1', 'expires already'],
    ['/v1/heatmap?url=x&signature=1', 'signature already'],
  ])('refuses %s', (address, why) => {
    expect(() => signAddress(address, NEW, end)).toThrow(why);
  });
});
