/**
 * Reads the images of a JSON body, `{"images":[{"base64":"…","name":"…"}]}`, out of its bytes. Nothing but this form is
 * ever built, so a hostile body costs no more than its own bytes: the first thing that does not belong there ends it. What
 * stands for an image is decoded in place (base64-text.ts).
 *
 * Source: RFC 8259 (JSON).
 */
import { ServiceError } from '../errors.js';
import type { ImageInput } from '../inference/infer.js';
import { decodeText } from './base64-text.js';
import { tooManyImages } from './request.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Characters, each a code point, as JSON Schema counts them. */
const MAX_NAME_LENGTH = 255;
/** Bytes of a key or a name, as written: a character is at most two escapes. */
const MAX_SHORT_TEXT = 12 * MAX_NAME_LENGTH + 1;
const MAX_BLANKS = 65_536;

/**
 * The images in their order. Their bytes lie in `body`, which is overwritten. Throws INVALID_REQUEST with the place of the
 * first fault.
 */
export async function readJsonImages(body: Buffer, maxImages: number): Promise<ImageInput[]> {
  const text = new JsonBytes(body);
  const images: ImageInput[] = [];
  let hasImages = false;
  for (const key of text.keys('', ['images'])) {
    hasImages = true;
    for (const position of text.elements(key)) {
      if (position === maxImages) {
        throw tooManyImages(maxImages);
      }
      images.push(await readImage(text, position));
    }
  }
  text.end();
  if (!hasImages) throw faultAt('images', 'is missing');
  if (images.length === 0) throw faultAt('images', 'must have at least one image');
  return images;
}

async function readImage(text: JsonBytes, position: number): Promise<ImageInput> {
  let name = `image-${position}`;
  let bytes: Buffer | undefined;
  for (const place of text.keys(`images[${position}]`, ['base64', 'name'])) {
    if (place.endsWith('.name')) {
      name = text.shortText(place);
      if (Array.from(name).length > MAX_NAME_LENGTH)
        throw faultAt(place, `must have at most ${MAX_NAME_LENGTH} characters`);
    } else {
      bytes = await decodeText(text.rawText(place), (detail) => faultAt(place, detail));
    }
  }
  if (bytes === undefined) throw faultAt(`images[${position}].base64`, 'is missing');
  return { name, bytes };
}

/** A place in the bytes of a JSON text, and the steps from there. Every step throws INVALID_REQUEST at the first fault. */
class JsonBytes {
  readonly #body: Buffer;
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
    if (body.length >= 3 && body.readUIntBE(0, 3) === 0xefbbbf) this.#at = 3;
  }

  /**
   * The keys of an object, each as its place. The caller reads the value of a key before it asks for the next one. No key is
   * taken twice.
   */
  *keys(place: string, known: readonly string[]): Generator<string> {
    this.#expect('{', place === '' ? 'the body' : place, 'must be an object');
    const seen = new Set<string>();
    for (let isFirst = true; !this.#endsWith('}', isFirst); isFirst = false) {
      const key = this.shortText('a key');
      const inside = place === '' ? key : `${place}.${key}`;
      if (!known.includes(key)) {
        throw faultAt(inside.slice(0, 100), `is not known here; known are ${known.join(', ')}`);
      }
      if (seen.has(key)) throw faultAt(inside, 'is given twice');
      seen.add(key);
      this.#expect(':', inside, 'must have a colon behind it');
      yield inside;
    }
  }

  /** The positions of the elements of a list. The caller reads each before it asks for the next one. */
  *elements(place: string): Generator<number> {
    this.#expect('[', place, 'must be a list');
    for (let position = 0; !this.#endsWith(']', position === 0); position += 1) yield position;
  }

  /** A text of a few characters. */
  shortText(place: string): string {
    const { start, end } = this.#text(place, (from) => {
      const limit = Math.min(this.#body.length, from + MAX_SHORT_TEXT);
      for (let at = from; at < limit; at += 1) {
        if (this.#body[at] === QUOTE) return at;
        if (this.#body[at] === BACKSLASH) at += 1;
      }
      throw faultAt(place, limit < this.#body.length ? 'is too long' : 'has no end');
    });
    try {
      return JSON.parse(this.#body.toString('utf8', start - 1, end + 1)) as string;
    } catch {
      throw faultAt(place, 'has a character or an escape that JSON does not allow');
    }
  }

  /** A text without quotes in it, as it is written: escapes are left as they are. */
  rawText(place: string): Buffer {
    const { start, end } = this.#text(place, (from) => {
      const found = this.#body.indexOf(QUOTE, from);
      if (found < 0) throw faultAt(place, 'has no end');
      return found;
    });
    return this.#body.subarray(start, end);
  }

  /** Nothing but blanks may follow. */
  end(): void {
    this.#skipBlanks();
    if (this.#at < this.#body.length) throw faultAt('the body', `goes on behind its end, at byte ${this.#at}`);
  }

  #text(place: string, findEnd: (start: number) => number): { readonly start: number; readonly end: number } {
    this.#expect('"', place, 'must be a text');
    const start = this.#at;
    const end = findEnd(start);
    this.#at = end + 1;
    return { start, end };
  }

  /** Whether an object or a list ends here. If it does not, a comma is skipped, which its first member does not have. */
  #endsWith(bracket: string, isFirst: boolean): boolean {
    this.#skipBlanks();
    if (this.#body[this.#at] === bracket.charCodeAt(0)) {
      this.#at += 1;
      return true;
    }
    if (!isFirst) this.#expect(',', 'the body', `must have a comma or ${bracket}`);
    return false;
  }

  #expect(character: string, place: string, rule: string): void {
    this.#skipBlanks();
    if (this.#body[this.#at] !== character.charCodeAt(0)) throw faultAt(place, `${rule}, at byte ${this.#at}`);
    this.#at += 1;
  }

  #skipBlanks(): void {
    const start = this.#at;
    while (isBlank(this.#body[this.#at])) {
      this.#at += 1;
      if (this.#at - start > MAX_BLANKS) throw faultAt('the body', `has more than ${MAX_BLANKS} blanks in a row`);
    }
  }
}

function isBlank(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}

function faultAt(parameter: string, detail: string): ServiceError {
  return new ServiceError('INVALID_REQUEST', 'The body must be {"images": [{"base64": "…"}]}.', {
    errors: [{ parameter, detail }],
  });
}
