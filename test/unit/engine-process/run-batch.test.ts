/** A batch in the process that runs it: what is decoded once, and what fails alone. The network is the identity. */
import sharp from 'sharp';
import { expect, it } from 'vitest';
import { createBatchRunner } from '../../../src/engine-process/run-batch.js';
import { decodeInput } from '../../../src/images/decode.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import { planInput } from '../../../src/maps/input-plan.js';
import { buffersOf } from '../../../src/runtime/worker-protocol.js';
import { expectTensor, type TensorMap } from '../../../src/tensor.js';

/** Red on the left, blue on the right. */
const bytes = await sharp({ create: { width: 8, height: 8, channels: 3, background: '#f00' } })
  .composite([{ input: { create: { width: 4, height: 8, channels: 3, background: '#00f' } }, left: 4, top: 0 }])
  .png()
  .toBuffer();
const header = await readImageHeader(bytes, { maxPixels: 100 });
const photo = { bytes, header };
const input = planInput(header, { fit: 'native', size: 8, resize: 8, scale: 1 });
const request = { photo, input, interpolation: 'bilinear', background: { r: 0, g: 0, b: 0 } } as const;

const decoded = { count: 0, limitMs: NaN as number | undefined };
const runs: TensorMap[] = [];
const runner = createBatchRunner({
  decode(image, limitMs) {
    decoded.count += 1;
    decoded.limitMs = limitMs;
    return decodeInput(image);
  },
  run: (_session, feeds) => {
    runs.push(feeds);
    const image = expectTensor(feeds, 'image', 'uint8');
    const outputs = { image: { ...image, data: image.data.slice() } };
    return Promise.resolve({ kind: 'ran', outputs, runMs: 1, hasGrown: false, buffers: buffersOf(feeds) });
  },
});

it('leaves an image nine tenths of the time that the run has, and any time where somebody waits to the end', async () => {
  const works = [{ image: { ...request, mirrored: false } }];
  await runner.run('net', works, 1000);
  expect(decoded.limitMs).toBe(900);
  await runner.run('net', works);
  expect(decoded.limitMs).toBeUndefined();
});

it('decodes an input and its mirror once, another part again, and leaves out what is damaged', async () => {
  const damaged = { ...photo, bytes: bytes.subarray(0, bytes.length - 30) };
  const right = { left: 4, top: 0, width: 4, height: 8 };
  decoded.count = 0;
  const whole = await runner.run('net', [
    { image: { ...request, mirrored: false } },
    { image: { ...request, photo: damaged, mirrored: false } },
    { image: { ...request, mirrored: true } },
  ]);
  expect(decoded.count).toBe(2);
  expect(runs.at(-1)!['image']!.dims).toEqual([2, 8, 8, 3]);
  const firstPixels = whole.outcomes.map((outcome) =>
    'output' in outcome
      ? [...expectTensor(outcome.output.outputs, 'image', 'uint8').data.subarray(0, 3)]
      : outcome.error.service?.code,
  );
  expect(firstPixels).toEqual([[255, 0, 0], 'IMAGE_UNDECODABLE', [0, 0, 255]]);

  decoded.count = 0;
  const parts = [undefined, right].map((part) => runner.run('net', [{ image: { ...request, part, mirrored: false } }]));
  await Promise.all(parts);
  expect(decoded.count).toBe(2);
  // Whichever was decoded first.
  const ran = runs.slice(-2).map((feeds) => feeds['image']!.dims.join());
  expect(ran.sort()).toEqual(['1,8,4,3', '1,8,8,3']);
});
