/** Images in JSON bodies, beside JSON.parse. */
import { readJsonImages } from '../../../src/http/json-images.js';
import { changeJson } from '../mutate.js';
import { check, type Target } from '../target.js';
import { refusing } from './refusing.js';

export const jsonImages: Target = {
  open: () =>
    Promise.resolve({
      seeds: [
        '{"images":[{"base64":"AAECAw==","name":"a.png"},{"name":"b","base64":"AAEC"}]}',
        '\ufeff { "images" : [ { "base64" : "AA\\/+\\u002b\\u002fAA" , "name" : "\\u00e9\\ud83d\\ude00" } ] } ',
        `{"images":[{"base64":"${'QUJD'.repeat(2000)}"}]}`,
      ].map((text) => Buffer.from(text)),
      words: ['{"images":[', '{"base64":"', '"name":', '\\u00', '\\', '"', '==', ',', ']}', '\ufeff', '-', '_'],
      mutate: changeJson,
      run: (bytes) => refusing(() => readAsJson(bytes)),
    }),
};

/** A text of JSON, which may have in it what JSON does not allow. */
const LITERAL = /"(?:[^"\\]|\\.)*"/gs;

/** What is taken must be what JSON.parse makes of the same bytes, without the line breaks that a shell may have put into base64. */
async function readAsJson(bytes: Buffer): Promise<void> {
  const text = bytes
    .toString()
    .replace(/^\ufeff/, '')
    .replace(LITERAL, (literal) => literal.replace(/[\t\n\f\r]/g, ''));
  const images = await readJsonImages(Buffer.from(bytes), 64);
  const { images: expected } = JSON.parse(text) as { images: { base64: string; name?: string }[] };
  check(images.length === expected.length, 'as many images as JSON.parse finds');
  for (const [index, { name, bytes: found }] of images.entries()) {
    const { base64, name: givenName = `image-${index}` } = expected[index]!;
    check(name === givenName, 'the name that JSON.parse finds');
    check(Buffer.from(base64, 'base64').equals(found), 'the bytes that JSON.parse finds');
  }
}
