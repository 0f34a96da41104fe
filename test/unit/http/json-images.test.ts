/** Images out of JSON bodies: the same as JSON.parse would give, and faults by their place. */
import { describe, expect, it } from 'vitest';
import type { ServiceError } from '../../../src/errors.js';
import { readJsonImages } from '../../../src/http/json-images.js';

const read = (text: string | Buffer, maxImages = 64) => readJsonImages(Buffer.from(text as string), maxImages);
const refusal = async (text: string, maxImages?: number): Promise<ServiceError> => {
  const error = await read(text, maxImages).then(
    () => new Error('it was read'),
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'INVALID_REQUEST' });
  return error as ServiceError;
};
/** Bytes of every value, in an order of their own. */
const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, at) => (at * 167 + 13) % 256));

describe('a body of images', () => {
  it.each([1, 2, 3, 4, 255, 256, 257, 3 * 2 ** 16, 3 * 2 ** 16 + 1, 1_000_001])(
    'with %i bytes is read',
    async (length) => {
      const photo = bytes(length);
      const images = await read(
        JSON.stringify({ images: [{ base64: photo.toString('base64') }, { base64: 'AAAA', name: 'b' }] }),
      );
      expect(images.map(({ name }) => name)).toEqual(['image-0', 'b']);
      expect(photo.equals(images[0]!.bytes)).toBe(true);
      expect([...images[1]!.bytes]).toEqual([0, 0, 0]);
    },
  );

  it('may have names before or behind, blanks, a mark and any escape', async () => {
    const text =
      '\ufeff \n{ "images" :\t[ {"name":"\\u00e9\\"\\\\\\/ß.png" , "base64" : "AA\\/+" },\r\n{"b\\u0061se64":"\\u002b\\u002F8="}] } \n';
    const images = await read(text);
    expect(images.map(({ name }) => name)).toEqual(['é"\\/ß.png', 'image-1']);
    expect(images.map(({ bytes: found }) => [...found])).toEqual([
      [0, 15, 254],
      [251, 255],
    ]);
  });

  it('may have names of 255 characters, however they are written', async () => {
    const name = '🐈'.repeat(255);
    const escaped = '\\ud83d\\udc08'.repeat(255);
    const images = await read(`{"images":[{"base64":"AAAA","name":"${name}"},{"base64":"AAAA","name":"${escaped}"}]}`);
    expect(images.map((image) => image.name)).toEqual([name, name]);
    expect((await refusal(`{"images":[{"base64":"AAAA","name":"${name}🐈"}]}`)).errors).toMatchObject([
      { parameter: 'images[0].name', detail: 'must have at most 255 characters' },
    ]);
  });

  it('may have escapes anywhere in a long text', async () => {
    const photo = Buffer.alloc(900_000, 0xff);
    const [image] = await read(`{"images":[{"base64":"${photo.toString('base64').replaceAll('/', '\\/')}"}]}`);
    expect(photo.equals(image!.bytes)).toBe(true);
  });

  it('lets the event loop go on while a large text is decoded', async () => {
    const body = Buffer.from(`{"images":[{"base64":"${'A'.repeat(2 ** 24)}"}]}`);
    let turns = 0;
    const count = (): void => {
      turns += 1;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    const [image] = await readJsonImages(body, 1);
    clearImmediate(timer);
    expect(image!.bytes.length).toBe(3 * 2 ** 22);
    expect(turns).toBeGreaterThanOrEqual(15);
  });

  it('costs no more memory than it has bytes: the images lie in it', async () => {
    const body = Buffer.from(`{"images":[{"base64":"${'A'.repeat(40_000)}"}]}`);
    const [image] = await readJsonImages(body, 1);
    expect(image!.bytes.buffer).toBe(body.buffer);
  });
});

describe('the bytes of an image', () => {
  const photo = bytes(1_000_000);
  const text = photo.toString('base64');
  const safe = photo.toString('base64url');
  const lines = (length: number, end: string): string => text.replace(new RegExp(`.{${length}}`, 'g'), `$&${end}`);
  const percent = (from: Buffer): string =>
    Array.from(from, (byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');

  it.each<[string, string]>([
    ['in the alphabet of URLs', safe],
    ['without padding', text.replace(/=+$/, '')],
    ['in the alphabet of URLs, with padding', safe.padEnd(Math.ceil(safe.length / 4) * 4, '=')],
    ['in lines', lines(76, '\n')],
    ['in lines of mail', lines(64, '\r\n')],
    ['in lines, without padding', lines(76, '\n').replace(/=+$/, '')],
    ['with blanks around', `  \n${text}\n\t `],
    ['as a data: URL', `data:image/png;base64,${text}`],
    ['as a data: URL with parameters', `DATA:image/png;charset=utf-8;name=a b;BASE64,${text}`],
    ['as a data: URL of no type', ` data:;base64,${safe}\n`],
    ['as a data: URL in lines', `data:image/png;base64,\n${lines(76, '\n')}`],
    ['as a data: URL, percent-encoded', `data:image/png,${percent(photo)}`],
    ['as a data: URL with encoded base64', `data:image/png;base64,${encodeURIComponent(text)}`],
    [
      'as a data: URL, encoded as little as may be',
      `data:image/png;x=y,${percent(photo).replace(/%(4[1-9a-f]|5[0-9a])/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)))}`,
    ],
  ])('may be %s', async (_, written) => {
    const [image] = await read(JSON.stringify({ images: [{ base64: written }] }));
    expect(photo.equals(image!.bytes)).toBe(true);
  });

  it('may be in lines that a shell has put into the JSON, though that is none then', async () => {
    const [image] = await read(`{"images":[{"base64":"${lines(76, '\n')}"}]}`);
    expect(photo.equals(image!.bytes)).toBe(true);
  });

  it.each([1, 2, 3, 4, 5, 6])('of %i bytes may have their padding or not', async (length) => {
    const few = bytes(length);
    for (const written of [few.toString('base64'), few.toString('base64url')]) {
      const [image] = await read(JSON.stringify({ images: [{ base64: written }] }));
      expect([...image!.bytes]).toEqual([...few]);
    }
  });

  it('are told where the first wrong character is, however far behind', async () => {
    for (const at of [0, 2 ** 18 - 1, 2 ** 18, 1_200_001, text.length - 3]) {
      const wrong = `${text.slice(0, at)}*${text.slice(at + 1)}`;
      for (const written of [wrong, `data:image/png;base64,${wrong}`]) {
        const { errors } = await refusal(JSON.stringify({ images: [{ base64: written }] }));
        const position = written.indexOf('*');
        expect(errors).toEqual([
          { parameter: 'images[0].base64', detail: `has "*" at position ${position}, which is not base64` },
        ]);
      }
    }
  });

  it.each([
    ['in lines', '\\n', 60],
    ['of escaped slashes', '\\/', 60],
    ['of blanks', ' ', 60],
    ['of pluses', '+', 15],
    ['of two alphabets at their ends', 'A', 15],
  ])('are decoded while the event loop goes on: %s', async (_, unit, least) => {
    const body = Buffer.from(`{"images":[{"base64":"+${`AAA${unit}`.repeat(2 ** 22)}AA-"}]}`);
    let turns = 0;
    const count = (): void => {
      turns += 1;
      timer = setImmediate(count);
    };
    let timer = setImmediate(count);
    await expect(readJsonImages(body, 1)).rejects.toMatchObject({
      errors: [{ detail: expect.stringMatching(/^has "-" at position \d+ and "\+" before it/) as string }],
    });
    clearImmediate(timer);
    expect(turns).toBeGreaterThanOrEqual(least);
  });
});

describe('a fault is named by its place', () => {
  it.each([
    ['', 'the body', /object/],
    ['null', 'the body', /object/],
    ['[]', 'the body', /object/],
    ['{}', 'images', /missing/],
    ['{"images":{}}', 'images', /list/],
    ['{"images":[]}', 'images', /at least one/],
    ['{"images":[{}]}', 'images[0].base64', /missing/],
    ['{"images":[0]}', 'images[0]', /object/],
    ['{"images":[{"base64":"AAAA"},{"base64":null}]}', 'images[1].base64', /text/],
    ['{"images":[{"base64":""}]}', 'images[0].base64', /^is empty$/],
    ['{"images":[{"base64":" \\n"}]}', 'images[0].base64', /^is empty$/],
    ['{"images":[{"base64":"AA=A"}]}', 'images[0].base64', /^has "=" at position 2, which is not its end$/],
    ['{"images":[{"base64":"A==="}]}', 'images[0].base64', /^has "=" at position 1, which is not its end$/],
    ['{"images":[{"base64":"===="}]}', 'images[0].base64', /^has "=" at position 0, which is not its end$/],
    ['{"images":[{"base64":"AA==AAAA"}]}', 'images[0].base64', /^has "=" at position 2, which is not its end$/],
    ['{"images":[{"base64":"AA==\\nAAAA"}]}', 'images[0].base64', /^has "=" at position 2, which is not its end$/],
    ['{"images":[{"base64":"AAA=="}]}', 'images[0].base64', /^has 2 "=" behind 3 characters of base64, which is/],
    ['{"images":[{"base64":"AAAA="}]}', 'images[0].base64', /^has 1 "=" behind 4 characters of base64, which is/],
    ['{"images":[{"base64":"AAAAA"}]}', 'images[0].base64', /^has 5 characters of base64, which cannot be its whole/],
    ['{"images":[{"base64":"AAAé"}]}', 'images[0].base64', /^has "é" at position 3, which is not base64$/],
    ['{"images":[{"base64":"AAAA!"}]}', 'images[0].base64', /^has "!" at position 4, which is not base64$/],
    ['{"images":[{"base64":" AA\\r\\nA🐈A"}]}', 'images[0].base64', /^has "🐈" at position 6, which is not base64$/],
    ['{"images":[{"base64":"AA+AA-AA"}]}', 'images[0].base64', /^has "-" at position 5 and "\+" before it, which are/],
    [
      '{"images":[{"base64":"AA_A\\nA/AA"}]}',
      'images[0].base64',
      /^has "\/" at position 6 and "_" before it, which are/,
    ],
    ['{"images":[{"base64":"AA%41A"}]}', 'images[0].base64', /^has "%" at position 2, which is not base64$/],
    ['{"images":[{"base64":"data:image/png;base64"}]}', 'images[0].base64', /without a comma/],
    ['{"images":[{"base64":"data:image/png;base64,"}]}', 'images[0].base64', /without bytes/],
    [
      '{"images":[{"base64":"data:;base64,AA*A"}]}',
      'images[0].base64',
      /^has "\*" at position 15, which is not base64$/,
    ],
    [
      '{"images":[{"base64":"data:;base64,AA%2"}]}',
      'images[0].base64',
      /^has "%" at position 15 without two hexadecimal/,
    ],
    [
      '{"images":[{"base64":"data:;base64,A%21AA"}]}',
      'images[0].base64',
      /^has "!" at position 14, which is not base64$/,
    ],
    ['{"images":[{"base64":"data:,%89P%4"}]}', 'images[0].base64', /^has "%" at position 10 without two hexadecimal/],
    [
      '{"images":[{"base64":"data:,%89é"}]}',
      'images[0].base64',
      /^has "é" at position 9, which must be percent-encoded/,
    ],
    [
      '{"images":[{"base64":"data:,%89#a"}]}',
      'images[0].base64',
      /^has "#" at position 9, which must be percent-encoded/,
    ],
    ['{"images":[{"base64":"AA\\u00e9A"}]}', 'images[0].base64', /^has an escape at position 2 that stands for no/],
    ['{"images":[{"base64":"AA\\tA\\bA"}]}', 'images[0].base64', /^has an escape at position 4 that stands for no/],
    ['{"images":[{"base64":"AAA\\"}]}', 'images[0].base64', /escape/],
    ['{"images":[{"base64":"AAA', 'images[0].base64', /end/],
    ['{"images":[{"base64":"AAAA","base64":"AAAA"}]}', 'images[0].base64', /twice/],
    ['{"images":[{"base64":"AAAA","name":1}]}', 'images[0].name', /text/],
    [`{"images":[{"name":"${'n'.repeat(256)}"}]}`, 'images[0].name', /255/],
    [`{"images":[{"name":"${'n'.repeat(5000)}"}]}`, 'images[0].name', /too long/],
    ['{"images":[{"name":"\u0001"}]}', 'images[0].name', /JSON/],
    ['{"images":[{"name":"\\x"}]}', 'images[0].name', /JSON/],
    ['{"images":[{"base64":"AAAA"}],"more":1}', 'more', /known are images/],
    ['{"__proto__":{}}', '__proto__', /known/],
    ['{"images":[{"url":"http://a"}]}', 'images[0].url', /known are base64, name/],
    ['{"images":[{"base64":"AAAA"}', 'the body', /comma or \]/],
    ['{"images":[{"base64":"AAAA"},]}', 'images[1]', /object/],
    ['{"images":[{"base64":"AAAA"}]}x', 'the body', /behind its end/],
    ['{"images"', 'images', /colon/],
    [`{${' '.repeat(70_000)}}`, 'the body', /blanks/],
  ])('%s', async (text, parameter, detail) => {
    const { errors } = await refusal(text);
    expect(errors).toEqual([{ parameter, detail: expect.stringMatching(detail) as string }]);
  });

  it('more images than the limit', async () => {
    const image = '{"base64":"AAAA"}';
    expect(await read(`{"images":[${image},${image}]}`, 2)).toHaveLength(2);
    expect((await refusal(`{"images":[${image},${image},${image}]}`, 2)).message).toMatch(/the limit is 2/);
  });
});

it('millions of elements cost no more than the first of them', async () => {
  const body = Buffer.from(`{"images":[${'{},'.repeat(10_000_000)}{}]}`);
  const before = process.cpuUsage();
  await expect(readJsonImages(body, 64)).rejects.toMatchObject({ errors: [{ parameter: 'images[0].base64' }] });
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(100);
});

it('reads what JSON.parse reads, and refuses what it refuses', async () => {
  const alphabet = [
    '{',
    '}',
    '[',
    ']',
    ':',
    ',',
    '"',
    '\\',
    ' ',
    'A',
    '=',
    '"images"',
    '"base64"',
    '"name"',
    '"AAAA"',
    'null',
    '1',
  ];
  let seed = 1;
  const random = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  const valid = '{"images":[{"base64":"AAAA","name":"a"},{"base64":"AQID"}]}';
  let accepted = 0;
  for (let turn = 0; turn < 20_000; turn += 1) {
    let text = valid;
    for (let edits = random(3); edits >= 0; edits -= 1) {
      const at = random(text.length + 1);
      text = text.slice(0, at) + alphabet[random(alphabet.length)]! + text.slice(at + random(3));
    }
    const images = await read(text).catch(() => undefined);
    if (images === undefined) continue;
    accepted += 1;
    const parsed = JSON.parse(text) as { images: { base64: string; name?: string }[] };
    expect(images.map(({ bytes: found }) => Buffer.from(found).toString('base64'))).toEqual(
      parsed.images.map(({ base64 }) => Buffer.from(base64, 'base64').toString('base64')),
    );
    expect(images.map(({ name }) => name)).toEqual(parsed.images.map(({ name }, at) => name ?? `image-${at}`));
  }
  expect(accepted).toBeGreaterThan(100);
});
