/** Images decoded in processes of their own: what comes back, what a process that dies takes with it, and what is left in the end. */
import { readFile } from 'node:fs/promises';
import { devNull } from 'node:os';
import sharp from 'sharp';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { createDecoders, type Decoders } from '../../../src/engine-process/decoders.js';
import { ServiceError } from '../../../src/errors.js';
import { decodeInput, type DecodeRequest } from '../../../src/images/decode.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import { planInput } from '../../../src/maps/input-plan.js';
import type { WorkerLost } from '../../../src/processes/slot.js';
import { createMarker, MORTAL_DECODER_FILE } from '../../support/mortal-decoders.js';

const marker = createMarker('decoders');
const lost: WorkerLost[] = [];
const noneLeft: string[] = [];
const open: Decoders[] = [];

afterEach(async () => {
  await marker.clear();
  await Promise.all(open.splice(0).map((decoders) => decoders.drain()));
  lost.length = 0;
  noneLeft.length = 0;
});
afterAll(() => delete process.env['MORTAL_DECODER_MARKER']);

function start(workerFile = MORTAL_DECODER_FILE): Decoders {
  const decoders = createDecoders({
    ...{ decoders: 4, decoding: { processes: 2 }, workerFile },
    onLost: (info) => lost.push(info),
    onNoneLeft: (reason) => noneLeft.push(reason.message),
  });
  open.push(decoders);
  return decoders;
}

async function ask(bytes: Uint8Array, fit: 'native' | 'crop' = 'native'): Promise<DecodeRequest> {
  const header = await readImageHeader(bytes, { maxPixels: 1e6 });
  const input = planInput(header, { fit, size: 224, resize: 256, scale: 1 });
  const background = { r: 0, g: 0, b: 0 };
  return { photo: { bytes, header }, input, mirrored: false, interpolation: 'bilinear', background };
}

/** A picture of noise, `width` wide. */
async function picture(width: number): Promise<DecodeRequest> {
  const raw = { width, height: 20, channels: 3 } as const;
  const values = Uint8Array.from({ length: width * 60 }, (_, index) => (index * 2654435761) >>> 24);
  return ask(await sharp(values, { raw }).png().toBuffer());
}

const WIDTHS = [11, 12, 13, 14, 15, 16, 17, 18];
const codeOf = (reason: unknown): unknown => (reason instanceof ServiceError ? reason.code : reason);

describe('processes that decode', () => {
  it('answer with the same pixels, of a photograph, of a part of it, and of few bytes', async () => {
    const decoders = start();
    const photo = await ask(await readFile(new URL('../../fixtures/photos/grace_hopper.jpg', import.meta.url)), 'crop');
    const part = { left: 7, top: 9, width: 5, height: 3 };
    for (const request of [photo, { ...photo, part }, await picture(11)]) {
      const pixels = await decoders.decode(request);
      expect(pixels.length).toBeGreaterThan(0);
      expect(Buffer.compare(pixels, await decodeInput(request))).toBe(0);
    }
  });

  it('say of a damaged image what decoding says here, and decode the others', async () => {
    const decoders = start();
    const { photo, ...request } = await picture(11);
    const damaged = { ...request, photo: { ...photo, bytes: photo.bytes.subarray(0, photo.bytes.length - 30) } };
    const here = await decodeInput(damaged).catch((error: unknown) => error as ServiceError);
    const [there, other] = await Promise.allSettled([decoders.decode(damaged), decoders.decode(await picture(12))]);
    expect(there).toMatchObject({ reason: { code: 'IMAGE_UNDECODABLE', message: (here as ServiceError).message } });
    expect(other.status).toBe('fulfilled');
    expect(lost).toEqual([]);
  });

  it('that die have their images decoded once more', async () => {
    const decoders = start();
    const requests = await Promise.all(WIDTHS.map(picture));
    await marker.set({ width: 14, how: 'once' });
    const pixels = await Promise.all(requests.map((request) => decoders.decode(request)));
    const expected = await Promise.all(requests.map((request) => decodeInput(request)));
    pixels.forEach((each, index) => expect(Buffer.compare(each, expected[index]!)).toBe(0));
    expect(lost).toHaveLength(1);
  });

  it('that die twice with an image fail that one alone', async () => {
    const decoders = start();
    const requests = await Promise.all([...WIDTHS, ...WIDTHS].map(picture));
    await marker.set({ width: 14, how: 'always' });
    const answers = await Promise.all(
      requests.map((request) => decoders.decode(request).then(() => request.photo.header.width, codeOf)),
    );
    const expected = WIDTHS.map((width) => (width === 14 ? 'WORKER_LOST' : width));
    expect(answers).toEqual([...expected, ...expected]);
  });

  it('that do not come to an end are killed, and their image is not tried again', async () => {
    const decoders = start();
    await marker.set({ width: 14, how: 'hang' });
    // The others share its process.
    const others = Promise.all([11, 12, 13].map(async (width) => decoders.decode(await picture(width), 60_000)));
    const failure = await decoders.decode(await picture(14), 300).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'WORKER_LOST', message: expect.stringContaining('too long') as string });
    expect((await others).map((pixels) => pixels.length)).toEqual([11, 12, 13].map((width) => width * 60));
    expect(lost).toHaveLength(1);
  });

  it('that answer with other pixels than those of the image are replaced, and its image fails alone', async () => {
    const decoders = start();
    await marker.set({ width: 14, how: 'short' });
    const failure = await decoders.decode(await picture(14)).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'WORKER_LOST', message: expect.stringContaining('Two processes') as string });
    expect(lost.map(({ error }) => error.message)).toEqual(
      Array(2).fill('the worker was lost: it sent what is no reply to anything'),
    );
    expect(await decoders.decode(await picture(12))).toHaveLength(12 * 60);
  });

  it('are told of when none is left and none can be started', async () => {
    const decoders = start(devNull);
    expect(await decoders.decode(await picture(11)).catch(codeOf)).toBe('WORKER_LOST');
    expect(noneLeft[0]).toContain('no worker can be started');
  });

  it('are as many as were asked for, and gone after the last answer', async () => {
    const decoders = start();
    if ((await marker.processes()) === undefined) return;
    expect(await marker.processes()).toBe(2);
    const requests = await Promise.all(WIDTHS.map(picture));
    const answers = Promise.all(requests.map((request) => decoders.decode(request)));
    await decoders.drain();
    expect(await marker.processes()).toBe(0);
    expect(await answers).toHaveLength(WIDTHS.length);
  });
});
