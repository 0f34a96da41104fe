/** The parts of multipart/form-data bodies, with turns of the event loop between the pieces. */
import { setImmediate as turn } from 'node:timers/promises';
import { createBodyMemory } from '../../../src/http/body-memory.js';
import { createMultipartReader } from '../../../src/http/multipart-images.js';
import { check, type Target } from '../target.js';
import { refusing } from './refusing.js';

const BOUNDARY = 'xyz';

const part = (headers: string, body: string): string => `--${BOUNDARY}\r\n${headers}\r\n\r\n${body}\r\n`;
const file = (name: string, body: string): string =>
  part(`Content-Disposition: form-data; name="image"; filename="${name}"\r\nContent-Type: image/png`, body);

export const multipart: Target = {
  open: () =>
    Promise.resolve({
      seeds: [
        `${file('a.png', 'bytes')}--${BOUNDARY}--\r\n`,
        `${file('a', 'x'.repeat(5000))}${part('Content-Disposition: form-data; name="text"', 'value')}--${BOUNDARY}--`,
        `before\r\n${file("UTF-8''%e2%82%ac", '\r\n--xy\r\n--xyz ')}${file('', '')}--${BOUNDARY}--\r\nbehind`,
        part(
          'Content-Disposition: form-data; name="i"; filename*=UTF-8\'\'%41\r\nContent-Transfer-Encoding: base64',
          'QUJD',
        ),
        `--${BOUNDARY}\r\nA: b\r\n--${BOUNDARY}--\r\n`,
      ].map((text) => Buffer.from(text, 'latin1')),
      words: [
        `\r\n--${BOUNDARY}`,
        `--${BOUNDARY}--`,
        '\r\n\r\n',
        '\r\n',
        '\r',
        '\n',
        'filename=',
        'filename*=',
        ': ',
        '"',
        ';',
        '%',
      ],
      run: (bytes) => refusing(() => readParts(bytes)),
    }),
};

async function readParts(bytes: Buffer): Promise<void> {
  const bodies = createBodyMemory(2 ** 24);
  const account = bodies.account('client');
  const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
  const reader = createMultipartReader(headers, { maxImages: 5, open: () => account.open(2 ** 20) });
  try {
    // As chunks come from a socket: cut somewhere that follows from the bytes.
    const cut = bytes.reduce((sum, byte) => sum + byte, 0) % (bytes.length + 1);
    reader.write(bytes.subarray(0, cut));
    await turn();
    reader.write(bytes.subarray(cut));
    await turn();
    const { images } = await reader.end(Infinity);
    check(images.length <= 5, 'there are not more images than allowed');
    check(
      images.reduce((sum, image) => sum + image.bytes.length, 0) <= bytes.length,
      'images have no more bytes than the body',
    );
  } finally {
    account.release();
    check(bodies.held === 0, 'memory is given back');
  }
}
