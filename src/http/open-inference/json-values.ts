/**
 * The values of a tensor as JSON has them: a list, or lists in one another, in row-major order. They are read out of the bytes of
 * the text, in steps, and nothing else is built of them.
 */
import { StepCounter, type Steps } from '../../maps/steps.js';
import { endOfText } from './json-data.js';
import { faultAt } from './faults.js';

const [QUOTE, COMMA, OPEN, CLOSE, ZERO, NINE] = [0x22, 0x2c, 0x5b, 0x5d, 0x30, 0x39] as const;

/** The longest text of a number that fits into a byte, such as 2.55000e2. */
const MAX_NUMBER = 32;

/**
 * The whole numbers from 0 to 255 of a text that has `count` of them. They are written over the text, which is longer. Throws INVALID_REQUEST with the position of the first that is
 * something else, or with their number.
 */
export function* readBytes(text: Buffer, count: number, place: string): Steps<Uint8Array> {
  // A text has at least a bracket or comma for each value.
  if (count > text.length) throw faultAt(place, `has fewer than ${count} values`);
  const values = text.subarray(0, count);
  let read = 0;
  yield* eachValue(text, place, (at) => {
    const { value, end } = numberAt(text, at);
    if (!Number.isInteger(value) || value < 0 || value > 255) {
      throw faultAt(`${place}[${read}]`, 'must be a whole number from 0 to 255');
    }
    if (read === count) throw faultAt(place, `has more than ${count} values`);
    values[read] = value;
    read += 1;
    return end;
  });
  if (read < count) throw faultAt(place, `has ${read} values, and not ${count}`);
  return values;
}

/** The texts of a list that has `count` of them, without their quotes and as they are written. Throws INVALID_REQUEST. */
export function* readTexts(text: Buffer, count: number, place: string): Steps<Buffer[]> {
  const texts: Buffer[] = [];
  yield* eachValue(text, place, function* (at) {
    if (text[at] !== QUOTE) throw faultAt(`${place}[${texts.length}]`, 'must be a text');
    if (texts.length === count) throw faultAt(place, `has more than ${count} values`);
    const end = yield* endOfText(text, at);
    texts.push(text.subarray(at + 1, end - 1));
    return end;
  });
  if (texts.length < count) throw faultAt(place, `has ${texts.length} values, and not ${count}`);
  return texts;
}

/** Call `read` with the beginning of each value; it returns its end. The brackets match: json-data.ts has counted them. */
function* eachValue(text: Buffer, place: string, read: (at: number) => number | Steps<number>): Steps<void> {
  const counter = new StepCounter();
  let mayBegin = true;
  let mayClose = false;
  for (let at = 0; at < text.length;) {
    if (counter.isDue(1)) yield;
    const byte = text[at]!;
    if (isBlank(byte)) at += 1;
    else if (byte === OPEN && mayBegin) {
      mayClose = true;
      at += 1;
    } else if (byte === CLOSE && (mayClose || !mayBegin)) {
      mayBegin = false;
      mayClose = false;
      at += 1;
    } else if (byte === COMMA && !mayBegin) {
      mayBegin = true;
      at += 1;
    } else if (mayBegin && byte !== COMMA && byte !== CLOSE) {
      const end = read(at);
      at = typeof end === 'number' ? end : yield* end;
      mayBegin = false;
      mayClose = false;
    } else throw faultAt(place, `is no JSON at byte ${at}`);
  }
}

interface Written {
  /** NaN for what is no number. */
  readonly value: number;
  readonly end: number;
}

function numberAt(text: Buffer, start: number): Written {
  let value = 0;
  let at = start;
  for (let digit = text[at]!; digit >= ZERO && digit <= NINE && at - start < 4; digit = text[++at]!) {
    value = 10 * value + digit - ZERO;
  }
  const isPlain = at > start && isBehind(text[at]!) && (text[start] !== ZERO || at === start + 1);
  return isPlain ? { value, end: at } : unusualNumberAt(text, start);
}

/** JSON's own numbers, and none of those that JavaScript knows besides. */
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

function unusualNumberAt(text: Buffer, start: number): Written {
  let end = start;
  while (end - start <= MAX_NUMBER && end < text.length && !isBehind(text[end]!)) end += 1;
  const written = text.toString('latin1', start, end);
  return { value: NUMBER.test(written) ? Number(written) : NaN, end };
}

function isBehind(byte: number): boolean {
  return byte === COMMA || byte === CLOSE || isBlank(byte);
}

function isBlank(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;
}
