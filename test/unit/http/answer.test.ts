import type { FastifyReply } from 'fastify';
import { expect, it } from 'vitest';
import { sendAnswer } from '../../../src/http/answer.js';

it('an answer to a client that has gone fails at once, where fastify would wait for its connection to close', () => {
  const sent: unknown[] = [];
  const reply = (destroyed: boolean): FastifyReply =>
    ({
      raw: { destroyed },
      headers: () => undefined,
      send: (body: unknown) => sent.push(body),
    }) as unknown as FastifyReply;
  expect(() => sendAnswer(reply(true), { headers: {}, body: 'late' })).toThrow(
    expect.objectContaining({ name: 'ClientGoneError' }) as Error,
  );
  sendAnswer(reply(false), { headers: {}, body: 'in time' });
  expect(sent).toEqual(['in time']);
});
