/** Bodies are read into buffers that are used again: none may show in another's answer. */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.js';

let app: TestApp;
let url: string;
/** Of a length near each other's, so that they take each other's buffers. */
let photos: Buffer[];
beforeAll(async () => {
  app = await startTestApp({ FULLCONV_MAX_BYTES: '4000000' });
  url = await app.http.listen({ port: 0, host: '127.0.0.1' });
  photos = await Promise.all(
    ['#d03020', '#20c040', '#3050e0', '#e0d020'].map((background) =>
      sharp({
        create: { width: 200, height: 160, channels: 3, background, noise: { type: 'gaussian', mean: 128, sigma: 60 } },
      })
        .tint(background)
        .png({ compressionLevel: 0 })
        .toBuffer(),
    ),
  );
});
afterAll(() => app.close());

/** Logits by class. */
async function classify(photo: Buffer | ReadableStream, init: RequestInit = {}): Promise<number[]> {
  const response = await fetch(`${url}/v1/classify?scores=logit&topK=8`, { method: 'POST', body: photo, ...init });
  expect(response.status).toBe(200);
  const { results } = (await response.json()) as { results: { predictions: { index: number; logit: number }[] }[] };
  return results[0]!.predictions.toSorted((a, b) => a.index - b.index).map(({ logit }) => logit);
}

/** To within the order of the sums, which is that of the batch. */
function expectAlike(actual: number[], expected: number[]): void {
  expect(distance(actual, expected)).toBeLessThan(1e-4);
}

function distance(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((value, index) => Math.abs(value - b[index]!)));
}

it('many bodies at a time are answered as each by itself', async () => {
  const alone: number[][] = [];
  for (const photo of photos) alone.push(await classify(photo));
  for (const [index, one] of alone.entries())
    for (const other of alone.slice(0, index)) expect(distance(one, other)).toBeGreaterThan(0.01);
  const rounds = Array.from({ length: 60 }, (_, turn) => turn % photos.length);
  const answers = await Promise.all(rounds.map((which) => classify(photos[which]!)));
  for (const [turn, answer] of answers.entries()) expectAlike(answer, alone[rounds[turn]!]!);
});

it('a body of unknown length is answered as one of a known length', async () => {
  const [photo] = photos as [Buffer];
  const chunks = new ReadableStream({
    start(controller) {
      for (let at = 0; at < photo.length; at += 10_000) controller.enqueue(photo.subarray(at, at + 10_000));
      controller.close();
    },
  });
  expectAlike(await classify(chunks, { duplex: 'half' }), await classify(photo));
});

it('clients that leave in the middle of a body, or before the answer, disturb no one', async () => {
  const [photo, other] = photos as [Buffer, Buffer];
  const { port } = new URL(url);
  const expected = await classify(other);
  for (const sent of [photo.length / 2, photo.length]) {
    const leaving = Array.from({ length: 8 }, async () => {
      const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined);
      socket.write(`POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Length: ${photo.length}\r\n\r\n`);
      socket.write(photo.subarray(0, sent));
      await sleep(5);
      socket.destroy();
    });
    const answers = await Promise.all(Array.from({ length: 8 }, () => classify(other)));
    await Promise.all(leaving);
    for (const answer of answers) expectAlike(answer, expected);
  }
});

it('a chunked body beyond the limit is refused', async () => {
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1').on('error', () => undefined);
  let answer = '';
  socket.on('data', (data) => (answer += data.toString()));
  socket.write('POST /v1/classify HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
  const chunk = Buffer.alloc(1_000_000, 1);
  for (let count = 0; count < 5; count++)
    socket.write(Buffer.concat([Buffer.from('f4240\r\n'), chunk, Buffer.from('\r\n')]));
  while (!answer.includes('\r\n\r\n')) await sleep(20);
  expect(answer).toMatch(/^HTTP\/1.1 413 /);
  socket.destroy();
});
