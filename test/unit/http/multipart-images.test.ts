/** Multipart bodies as they come from a connection: in pieces, with turns of the event loop between them. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createBodyMemory } from '../../../src/http/body-memory.js';
import { createMultipartReader, type Form } from '../../../src/http/multipart-images.js';
import type { ImageInput } from '../../../src/inference/infer.js';

const FILE = 'Content-Disposition: form-data; name="image"; filename="a.png"';

/** Read a body whose boundary is `xyz`. */
async function read(...pieces: readonly string[]): Promise<readonly ImageInput[]> {
  return (await readForm(pieces)).images;
}

async function readForm(pieces: readonly string[], deadline = Infinity): Promise<Form> {
  const account = createBodyMemory(2 ** 20).account('client');
  const reader = createMultipartReader(
    { 'content-type': 'multipart/form-data; boundary=xyz' },
    { maxImages: 4, open: () => account.open(2 ** 20) },
  );
  for (const piece of pieces) {
    reader.write(Buffer.from(piece, 'latin1'));
    await turn();
  }
  return reader.end(deadline);
}

describe('a multipart body', () => {
  it('gives the bytes of its file parts', async () => {
    const images = await read(`--xyz\r\n${FILE}\r\n\r\nby`, 'tes\r\n--xyz--\r\n');
    expect(images.map(({ name, bytes }) => [name, bytes.toString()])).toEqual([['a.png', 'bytes']]);
  });

  it.each([
    ['whose only part has headers without end', `--xyz\r\n${FILE}\r\n--xyz--\r\n`],
    ['that closes at once', '--xyz--\r\n'],
    ['whose part has no headers and no bytes', '--xyz\r\n--xyz--\r\n'],
    // The parser is done while the body still comes, and says so only once.
    ['that closes twice', '--xyz--\r\n--xyz--\r\n'],
    ['that closes twice behind headers without end', `--xyz\r\n${FILE}\r\n--xyz--\r\n--xyz--\r\n`],
  ])('%s has no images', async (_, body) => {
    expect(await read(body)).toEqual([]);
    expect(await read(body, 'behind the end')).toEqual([]);
  });

  /** A part that is no file, a file, the end, and as many bytes behind it as before. */
  const behindSkipped = (bytes: number): string => {
    const filler = 'h'.repeat(bytes);
    return `--xyz\r\n\r\n${filler}\r\n--xyz\r\n${FILE}\r\n\r\nbytes\r\n--xyz--\r\n${filler}`;
  };

  it.each([1000, 20_000, 30_000])('gives the files behind %i bytes of a part that is none', async (bytes) => {
    expect(await read(behindSkipped(bytes))).toHaveLength(1);
  });

  it('in which the parser gets stuck is refused', async () => {
    await expect(read(behindSkipped(2 ** 21))).rejects.toThrow('The multipart body is malformed.');
  });

  it('in which the parser gets stuck is refused at the deadline', async () => {
    const started = performance.now();
    await expect(readForm([behindSkipped(2 ** 21)], started + 100)).rejects.toMatchObject({
      code: 'DEADLINE_EXCEEDED',
    });
    expect(performance.now() - started).toBeLessThan(450);
  });

  it('gives its texts, in their order', async () => {
    const text = (name: string, value: string): string =>
      `--xyz\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
    const { fields, images } = await readForm([
      text('class', 'a') + text('topK', ''),
      `--xyz\r\n${FILE}\r\n\r\nbytes\r\n`,
      `${text('class', 'b, c')}--xyz--\r\n`,
    ]);
    expect({ ...fields }).toEqual({ class: ['a', 'b, c'], topK: '' });
    expect(images).toHaveLength(1);
  });

  it('that has no end is refused', async () => {
    await expect(read(`--xyz\r\n${FILE}\r\n\r\nbytes`)).rejects.toThrow('The multipart body is malformed.');
  });
});
