/** Tensors in JSON bodies of the Open Inference Protocol, beside JSON.parse. */
import { imagesOf } from '../../../src/http/open-inference/image-tensor.js';
import { readInferBody } from '../../../src/http/open-inference/infer-body.js';
import { changeJson } from '../mutate.js';
import { check, type Target } from '../target.js';
import { refusing } from './refusing.js';

const MAX_IMAGES = 64;

const pixels = {
  name: 'image',
  datatype: 'UINT8',
  shape: [2, 1, 2, 3],
  data: [
    [
      [
        [0, 1, 2],
        [253, 254, 255],
      ],
    ],
    [
      [
        [9, 8, 7],
        [6, 5, 4],
      ],
    ],
  ],
};
const files = {
  name: 'image',
  parameters: { content_type: 'base64' },
  data: ['AAECAw==', 'AAEC'],
  datatype: 'BYTES',
  shape: [2, 1],
};

export const inferBody: Target = {
  open: () =>
    Promise.resolve({
      seeds: [
        JSON.stringify({ id: 'a', inputs: [pixels], parameters: { size: 64 }, outputs: [{ name: 'scores' }] }),
        JSON.stringify({ inputs: [{ ...pixels, shape: [1, 2, 2, 3], data: [...Array(12).keys()] }] }),
        JSON.stringify({ inputs: [files], outputs: [{ name: 'scores', parameters: { classification: 3 } }] }, null, 1),
        '\ufeff{"inp\\u0075ts":[{"d\\u0061ta":[1e0,2.0,-0],"name":"image","datatype":"UINT8","shape":[1,1,1,3]}]}',
      ].map((text) => Buffer.from(text)),
      words: [
        '{"inputs":[',
        '"data":[',
        '"shape":',
        '"name":"image"',
        '\\u0061',
        '\\',
        '"',
        '[[',
        ']]',
        ',',
        '1e2',
        '-0',
        '.0',
        'null',
      ],
      mutate: changeJson,
      run: (bytes) => refusing(() => readAsJson(bytes)),
    }),
};

interface Written {
  readonly inputs: readonly { readonly data: readonly unknown[]; readonly shape: readonly number[] }[];
}

/** What is taken must be what JSON.parse makes of the same bytes. */
async function readAsJson(bytes: Buffer): Promise<void> {
  const { inputs } = await readInferBody(Buffer.from(bytes), undefined);
  const images = await imagesOf(inputs, MAX_IMAGES);
  const { inputs: expected } = JSON.parse(bytes.toString().replace(/^\ufeff/, '')) as Written;
  const values = expected[0]!.data.flat(100 as 1) as readonly unknown[];
  check(images.length === expected[0]!.shape[0], 'as many images as the shape says');
  const found = Buffer.concat(images.map((image) => image.bytes));
  if (images[0]!.pixels === undefined) {
    const texts = values.map((text) => Buffer.from(text as string, 'base64'));
    check(Buffer.concat(texts).equals(found), 'the bytes that JSON.parse finds');
  } else {
    check(values.length === found.length, 'as many values as JSON.parse finds');
    check(
      values.every((value, index) => value === 0 + found[index]! || (value === 0 && found[index] === 0)),
      'its values',
    );
  }
}
