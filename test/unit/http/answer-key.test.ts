/** Questions that are the same have one key, and others have not. */
import { describe, expect, it } from 'vitest';
import { createKeyOf, type KeyedQuestion } from '../../../src/http/answer-key.js';

const settings = {
  config: { background: { r: 255, g: 255, b: 255 } },
  inputStep: 1,
  device: { devices: [{ kind: 'cpu', index: 0 }], why: 'because' },
};
const keyOf = createKeyOf(settings);
const image = (bytes: string, name = 'a.jpg') => ({ name, bytes: Buffer.from(bytes) });
const question: KeyedQuestion = {
  route: '/v1/heatmap',
  mediaType: 'image/png',
  model: { digest: 'd'.repeat(64), engine: 'onnxruntime', precision: 'fp32' },
  parameters: { fit: 'whole', scale: [1], class: ['top'], flip: false, size: undefined },
  images: [image('abc')],
};

describe('the key of an answer', () => {
  it('is the same for the same question, whatever the order of its parameters and its hurry', async () => {
    const key = await keyOf(question);
    expect(key).toMatch(/^[\w-]{43}$/);
    const parameters = {
      flip: false,
      class: ['top'],
      scale: [1],
      fit: 'whole',
      priority: 5,
      deadlineMs: 7,
      model: 'x',
    };
    expect(await keyOf({ ...question, parameters })).toBe(key);
    expect(await createKeyOf({ ...settings, device: { ...settings.device, why: 'else' } })(question)).toBe(key);
  });

  it.each<[string, Partial<KeyedQuestion>]>([
    ['route', { route: '/v1/segment' }],
    ['form', { mediaType: 'image/webp' }],
    ['model', { model: { ...question.model, digest: 'e'.repeat(64) } }],
    ['engine', { model: { ...question.model, engine: 'openvino' } }],
    ['precision', { model: { ...question.model, precision: 'bf16' } }],
    ['parameter', { parameters: { ...question.parameters, flip: true } }],
    ['further parameter', { parameters: { ...question.parameters, size: 64 } }],
    ['order of classes', { parameters: { ...question.parameters, class: ['top', 'cat'] } }],
    ['kind of value', { parameters: { ...question.parameters, flip: 'false' } }],
    ['image', { images: [image('abd')] }],
    ['name', { images: [image('abc', 'b.jpg')] }],
    ['pixels', { images: [{ ...image('abc'), pixels: { width: 1, height: 1 } }] }],
    ['number of images', { images: [image('abc'), image('abc')] }],
  ])('is another for another %s', async (_, other) => {
    expect(await keyOf({ ...question, ...other })).not.toBe(await keyOf(question));
  });

  it('is another for another server, which computes other numbers', async () => {
    const key = await keyOf(question);
    const others = [
      { ...settings, inputStep: 32 },
      { ...settings, config: { background: { r: 0, g: 0, b: 0 } } },
      { ...settings, device: { ...settings.device, devices: [{ kind: 'cuda', index: 0 }] } },
    ];
    for (const other of others) expect(await createKeyOf(other)(question)).not.toBe(key);
  });

  it('tells apart images that are the same bytes one behind the other', async () => {
    const cuts = [
      [image('abcd'), image('')],
      [image('abc'), image('d')],
      [image('ab'), image('cd')],
      [image(''), image('abcd')],
    ];
    const keys = await Promise.all(cuts.map((images) => keyOf({ ...question, images })));
    expect(new Set(keys).size).toBe(cuts.length);
    const length = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
    const disguised = [{ name: 'a.jpg', bytes: Buffer.concat([Buffer.from('a'), length, Buffer.from('b')]) }];
    expect(await keyOf({ ...question, images: disguised })).not.toBe(
      await keyOf({ ...question, images: [image('a'), image('b')] }),
    );
  });

  it('tells apart names that are the same bytes in UTF-8', async () => {
    const named = (name: string) => keyOf({ ...question, images: [image('abc', name)] });
    expect(await named('\ud800')).not.toBe(await named('\ufffd'));
  });
});
