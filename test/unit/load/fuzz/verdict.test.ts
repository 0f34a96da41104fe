/** What the fuzzer takes for a fault: a judge that finds none would find none anywhere. */
import { describe, expect, it } from 'vitest';
import { framing, parseAnswer, type Exchange } from '../../../../load/fuzz/exchange.js';
import { faultIn } from '../../../../load/fuzz/verdict.js';

const document = {
  paths: {
    '/v1/classify': { post: { responses: { 200: { content: { 'application/json': {} } }, 415: {}, 500: {} } } },
  },
};
const REQUEST = Buffer.from('POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi');

function judge(text: string, { milliseconds = 1, request = REQUEST } = {}): string | undefined {
  const received = Buffer.from(text, 'latin1');
  const found: Exchange = { answer: parseAnswer(received, true), milliseconds, isRefused: false, received };
  return faultIn(request, found, { document, deadlineMs: 1000 });
}

const answer = (status: number, type: string, body: string): string =>
  `HTTP/1.1 ${status} x\r\nContent-Type: ${type}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
const problem = (status: number, code: string, detail = 'What is wrong.'): string =>
  answer(status, 'application/problem+json', JSON.stringify({ status, code, detail }));

describe('a right answer', () => {
  it.each([
    ['a result', answer(200, 'application/json', '{}')],
    ['a result behind an interim answer', `HTTP/1.1 100 Continue\r\n\r\n${answer(200, 'application/json', '{}')}`],
    [
      'a result in chunks',
      'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    ],
    ['a refusal', problem(415, 'UNSUPPORTED_MEDIA_TYPE')],
    ['a refusal before the route', problem(413, 'BODY_TOO_LARGE')],
  ])('is %s', (_, text) => {
    expect(judge(text)).toBeUndefined();
  });

  it('is none at all, where the request was no HTTP', () => {
    expect(judge('', { request: Buffer.from('POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhi') })).toBeUndefined();
  });
});

describe('a fault', () => {
  it.each([
    ['no answer', '', 'no answer'],
    ['no HTTP', 'hello', 'no answer'],
    ['half of an answer', answer(200, 'application/json', '{}').slice(0, -1), 'cut off'],
    ['JSON that is none', answer(200, 'application/json', '{'), 'JSON that is none'],
    ['another type', answer(200, 'text/html', 'hi'), 'a type that the API does not describe'],
    ['a status of its own', problem(418, 'INVALID_REQUEST'), 'a status that the API does not describe'],
    ['an error as text', answer(415, 'text/plain', 'no'), 'no problem document'],
    ['an unknown code', problem(415, 'NO'), 'no known code'],
    ['a code of another status', problem(415, 'BODY_TOO_LARGE'), 'a wrong status'],
    ['an error that says nothing', problem(415, 'UNSUPPORTED_MEDIA_TYPE', ''), 'does not say what is wrong'],
    ['a failure of the server', problem(500, 'INFERENCE_FAILED'), "the server's own failure"],
    ['a lost process', problem(503, 'WORKER_LOST'), "the server's own failure"],
    ['a stack', problem(415, 'UNSUPPORTED_MEDIA_TYPE', 'at f (/a/b.js:1:2)'), 'says what is inside'],
  ])('is %s', (_, text, message) => {
    expect(judge(text)).toContain(message);
  });

  it('is an answer behind the deadline', () => {
    expect(judge(answer(200, 'application/json', '{}'), { milliseconds: 1101 })).toContain('after 1101 ms');
  });
});

describe('the framing of a request', () => {
  it.each([
    ['right', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ['right', 'POST /a?b=%20 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi'],
    ['right', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n'],
    ['broken', 'POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nhi'],
    ['broken', 'POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nhi'],
    ['broken', 'POST / HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi'],
    ['broken', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n'],
    ['broken', 'POST / HTTP/1.1\r\nno colon\r\n\r\n'],
    ['broken', 'nonsense'],
  ])('is %s', (expected, text) => {
    expect(framing(Buffer.from(text))).toBe(expected);
  });
});
