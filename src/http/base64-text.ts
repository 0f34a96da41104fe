/**
 * The bytes of a text in base64, as programs and people write it: in either alphabet, with or without its padding, in lines,
 * with blanks around it, or as a `data:` URL, whose bytes may also be percent-encoded. The text is that of a JSON string, with
 * its escapes. It is decoded in place, piece by piece, and the event loop goes on in between. What cannot be read is told with
 * its position among the characters of the text, the first of which is 0.
 *
 * Sources: RFC 4648, sections 4 and 5 (the two alphabets); RFC 2397 (data: URLs); the Fetch standard, "data: URL processor"
 * (blanks in them, and base64 that is percent-encoded itself).
 */
import type { ServiceError } from '../errors.js';
import { nextTurn } from '../turns.js';

const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const EQUALS = 0x3d;
const HASH = 0x23;
const PERCENT = 0x25;
const SLASH = 0x2f;
const ZERO = 0x30;
const LETTER_U = 0x75;
const MINUS = 0x2d;
const PLUS = 0x2b;
const UNDERSCORE = 0x5f;

/** What a byte is, by its value. */
const [OTHER, BLANK, PADDING, LETTER, OF_PLAIN, OF_URLS] = [0, 1, 2, 3, 4, 5];
const KINDS = new Uint8Array(256).fill(OTHER);
for (const [kind, characters] of [
  [BLANK, ' \t\n\f\r'],
  [PADDING, '='],
  [LETTER, 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'],
  [OF_PLAIN, '+/'],
  [OF_URLS, '-_'],
] as const) {
  for (const character of characters) KINDS[character.charCodeAt(0)] = kind;
}

/** Of a JSON string, those that stand for blanks. */
const ESCAPED_BLANKS = new Map([0x6e, 0x72, 0x74, 0x66].map((letter, at) => [letter, [0x0a, 0x0d, 0x09, 0x0c][at]!]));

/** Characters that are decoded at once: a multiple of four, and a millisecond or two of work. */
const PIECE = 2 ** 18;
/** The same of escapes alone, each of which takes as long as many characters. */
const ESCAPED_PIECE = PIECE / 8;
/** Pieces that nothing but Node's own decoder has touched take a fifth of that. */
const PIECES_IN_A_ROW = 4;
/** Characters of a data: URL before its bytes. */
const MAX_URL_HEADER = 1000;

/**
 * Decode a text. The bytes lie where it lay. Throws what `fault` makes of what is wrong.
 *
 * @example
 * await decodeText(Buffer.from('data:image/png;base64,iVBORw0K'), (detail) => new Error(detail));
 */
export async function decodeText(written: Buffer, fault: (detail: string) => ServiceError): Promise<Buffer> {
  const unescaped = written.includes(BACKSLASH) ? await unescape(written, fault) : written;
  let start = 0;
  let end = unescaped.length;
  while (start < end && isBlank(unescaped[start]!)) start += 1;
  while (end > start && isBlank(unescaped[end - 1]!)) end -= 1;
  const text = unescaped.subarray(start, end);
  if (text.length === 0) throw fault('is empty');
  if (!/^data:/i.test(text.toString('latin1', 0, 5))) return decodeBase64(text, start, false, fault);
  const comma = text.subarray(0, MAX_URL_HEADER).indexOf(COMMA);
  if (comma < 0) throw fault('is a data: URL without a comma in front of its bytes');
  const data = text.subarray(comma + 1);
  if (data.length === 0) throw fault('is a data: URL without bytes');
  const at = start + comma + 1;
  return /; *base64 *$/i.test(text.toString('latin1', 0, comma))
    ? decodeBase64(data, at, true, fault)
    : decodePercents(data, at, fault);
}

/** `first`: the position of the first character. `mayBeEncoded`: some may be percent-encoded. */
async function decodeBase64(
  text: Buffer,
  first: number,
  mayBeEncoded: boolean,
  fault: (detail: string) => ServiceError,
): Promise<Buffer> {
  const alphabets = createAlphabets(fault);
  let rest = text;
  let isTidy = false;
  let length = 0;
  let count = 0;
  for (let at = 0, pieces = 1; at < rest.length - paddingOf(rest); pieces += 1) {
    const piece = rest.subarray(at, Math.min(at + PIECE, rest.length - paddingOf(rest)));
    if (!isTidy) alphabets.observe(piece, first + at);
    // Decoding overwrites it.
    const characters = piece.toString('latin1');
    const decoded = text.write(characters, length, 'base64');
    // Node skips what is not base64, and then there are fewer bytes; but for one character alone there is none at all.
    if (decoded === Math.floor((piece.length * 3) / 4) && (isTidy || piece.length % 4 !== 1)) {
      length += decoded;
      count += piece.length;
      at += piece.length;
      if (pieces % PIECES_IN_A_ROW === 0) await nextTurn();
    } else {
      if (isTidy) throw fault('is not base64');
      piece.write(characters, 'latin1');
      rest = await tidy(rest.subarray(at), first + at, { alphabets, mayBeEncoded, fault });
      isTidy = true;
      at = 0;
    }
  }
  const padding = paddingOf(rest);
  if (count + padding === 0) throw fault('is empty');
  if (count % 4 === 1) throw fault(`has ${count} characters of base64, which cannot be its whole text`);
  if (count === 0 || (padding > 0 && (count + padding) % 4 !== 0)) {
    throw fault(`has ${padding} "=" behind ${count} characters of base64, which is the wrong padding`);
  }
  return text.subarray(0, length);
}

function paddingOf(text: Buffer): number {
  return text.at(-1) !== EQUALS ? 0 : text.at(-2) !== EQUALS ? 1 : 2;
}

interface Alphabets {
  /** Throws if characters are of another alphabet than others before them. */
  observe(piece: Buffer, first: number): void;
}

function createAlphabets(fault: (detail: string) => ServiceError): Alphabets {
  let seen: { readonly character: number; readonly isSafe: boolean } | undefined;
  return {
    observe(piece, first) {
      const found = [MINUS, UNDERSCORE, PLUS, SLASH]
        .map((character) => ({ character, at: piece.indexOf(character), isSafe: isOfUrls(character) }))
        .filter(({ at }) => at >= 0)
        .sort((a, b) => a.at - b.at);
      for (const { character, at, isSafe } of found) {
        seen ??= { character, isSafe };
        if (seen.isSafe === isSafe) continue;
        const [other, before] = [character, seen.character].map((code) => String.fromCharCode(code));
        throw fault(`has "${other}" at position ${first + at} and "${before}" before it, which are of two alphabets`);
      }
    },
  };
}

interface Tidying {
  readonly alphabets: Alphabets;
  readonly mayBeEncoded: boolean;
  readonly fault: (detail: string) => ServiceError;
}

/** Take out the blanks, decode what is percent-encoded, and find what is not base64. */
async function tidy(text: Buffer, first: number, { alphabets, mayBeEncoded, fault }: Tidying): Promise<Buffer> {
  let length = 0;
  let equals = 0;
  let firstEquals = 0;
  /** By kind. */
  const observed: boolean[] = [];
  for (let at = 0, next = PIECE; at < text.length; at += 1) {
    const position = first + at;
    let byte = text[at]!;
    if (byte === PERCENT && mayBeEncoded) {
      byte = percentAt(text, at);
      if (Number.isNaN(byte)) throw fault(wrongPercent(position));
      at += 2;
    }
    const kind = KINDS[byte]!;
    if (kind === OTHER) {
      const character = byte === text[at] ? shown(text, at) : JSON.stringify(String.fromCharCode(byte));
      throw fault(`has ${character} at position ${position}, which is not base64`);
    }
    if (kind !== BLANK) {
      if (kind === PADDING) {
        if (equals === 0) firstEquals = position;
        equals += 1;
      } else if (kind !== LETTER && !observed[kind]) {
        alphabets.observe(Buffer.of(byte), position);
        observed[kind] = true;
      }
      if (equals > 2 || (equals > 0 && kind !== PADDING)) {
        throw fault(`has "=" at position ${firstEquals}, which is not its end`);
      }
      text[length] = byte;
      length += 1;
    }
    if (at >= next) {
      await nextTurn();
      next = at + PIECE;
    }
  }
  return text.subarray(0, length);
}

/** Bytes that are not in base64: each is a character of a URL, or `%` and two hexadecimal digits. */
async function decodePercents(text: Buffer, first: number, fault: (detail: string) => ServiceError): Promise<Buffer> {
  let length = 0;
  for (let at = 0, next = PIECE; at < text.length; at += 1) {
    let byte = text[at]!;
    const position = first + at;
    if (byte === PERCENT) {
      byte = percentAt(text, at);
      if (Number.isNaN(byte)) throw fault(wrongPercent(position));
      at += 2;
    } else if (isBlank(byte) && byte !== 0x20) {
      continue;
    } else if (byte < 0x20 || byte > 0x7e || byte === HASH) {
      throw fault(`has ${shown(text, at)} at position ${position}, which must be percent-encoded in a data: URL`);
    }
    text[length] = byte;
    length += 1;
    if (at >= next) {
      await nextTurn();
      next = at + PIECE;
    }
  }
  return text.subarray(0, length);
}

/** Resolve the escapes of JSON: some programs write `\/` for a slash, some `\u002b` for a plus, many `\n` between lines. */
async function unescape(text: Buffer, fault: (detail: string) => ServiceError): Promise<Buffer> {
  let length = 0;
  for (let at = 0, next = ESCAPED_PIECE; at < text.length;) {
    const found = text.indexOf(BACKSLASH, at);
    const escape = found < 0 ? text.length : found;
    if (length < at) text.copyWithin(length, at, escape);
    length += escape - at;
    if (escape === text.length) break;
    const letter = text[escape + 1] ?? NaN;
    let byte = letter === SLASH ? SLASH : (ESCAPED_BLANKS.get(letter) ?? NaN);
    at = escape + 2;
    if (letter === LETTER_U && text[at] === ZERO && text[at + 1] === ZERO) {
      byte = hexDigit(text[at + 2]) * 16 + hexDigit(text[at + 3]);
      at += 4;
    }
    // No text in base64 has a character beyond ASCII.
    if (!(byte < 0x80) || byte === BACKSLASH) {
      throw fault(`has an escape at position ${length} that stands for no character of base64`);
    }
    text[length] = byte;
    length += 1;
    if (at >= next) {
      await nextTurn();
      next = at + ESCAPED_PIECE;
    }
  }
  return text.subarray(0, length);
}

/** The byte of `%` and two digits; NaN if they are none. */
function percentAt(text: Buffer, at: number): number {
  return hexDigit(text[at + 1]) * 16 + hexDigit(text[at + 2]);
}

function wrongPercent(position: number): string {
  return `has "%" at position ${position} without two hexadecimal digits behind it`;
}

/** NaN if it is none. */
function hexDigit(byte = 0): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : NaN;
}

function isBlank(byte: number): boolean {
  return KINDS[byte] === BLANK;
}

function isOfUrls(byte: number): boolean {
  return KINDS[byte] === OF_URLS;
}

/** The character of UTF-8 that begins at a byte. */
function shown(text: Buffer, at: number): string {
  const [character = ''] = text.toString('utf8', at, at + 4);
  return JSON.stringify(character);
}
