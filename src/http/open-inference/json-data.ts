/**
 * Cuts the tensors out of a request in JSON. What a tensor holds may be megabytes of numbers, of which JSON.parse would make a
 * tree on the event loop. So the `data` of each input is found among the bytes and left there, for json-values.ts, and only the
 * rest is parsed.
 *
 * Source: RFC 8259 (JSON).
 */
import { ServiceError } from '../../errors.js';
import { StepCounter, type Steps } from '../../maps/steps.js';

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a] as const;
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d] as const;

/** Lists and objects in one another. */
const MAX_DEPTH = 100;
/** Of a request without the data of its inputs. */
const MAX_REST_BYTES = 2 ** 16;
/** Stands in the rest where data was. */
const PLACEHOLDER = 'null';
const BYTE_ORDER_MARK = 0xefbbbf;

export interface CutJson {
  /** The value of the rest; undefined where the data was. */
  readonly value: unknown;
  /** The text of each input's `data`, a list, by the position of the input. */
  readonly data: ReadonlyMap<number, Buffer>;
}

/** An open list or object. */
interface Place {
  readonly isObject: boolean;
  /** Of an object: the key whose value comes. */
  key?: string;
  /** Of a list: the position of the next element. */
  position: number;
}

/** The data lies in `text`. Throws INVALID_REQUEST for what is no JSON, or has too much beside the data. */
export function* cutData(text: Buffer): Steps<CutJson> {
  const data = new Map<number, Buffer>();
  const rest: string[] = [];
  let restBytes = 0;
  const keep = (from: number, end: number): void => {
    restBytes += end - from;
    if (restBytes > MAX_REST_BYTES) {
      throw malformed(`has more than ${MAX_REST_BYTES} bytes of JSON beside the data of its inputs`);
    }
    rest.push(text.toString('utf8', from, end));
  };

  const counter = new StepCounter();
  const places: Place[] = [];
  let kept = text.length >= 3 && text.readUIntBE(0, 3) === BYTE_ORDER_MARK ? 3 : 0;
  let at = kept;
  let isKey = false;
  while (at < text.length) {
    if (at - kept > MAX_REST_BYTES) keep(kept, at);
    if (counter.isDue(1)) yield;
    const place = places.at(-1);
    switch (text[at]) {
      case QUOTE: {
        const end = yield* endOfText(text, at);
        if (isKey && place !== undefined) place.key = keyOf(text, at, end);
        isKey = false;
        at = end;
        break;
      }
      case OPEN_LIST: {
        const input = inputOfData(places);
        if (input !== undefined) {
          const end = yield* endOfList(text, at);
          if (data.has(input)) throw malformed(`has inputs[${input}].data twice`);
          data.set(input, text.subarray(at, end));
          keep(kept, at);
          rest.push(PLACEHOLDER);
          kept = at = end;
          break;
        }
        open(places, false);
        at += 1;
        break;
      }
      case OPEN_OBJECT:
        open(places, true);
        isKey = true;
        at += 1;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        places.pop();
        isKey = false;
        at += 1;
        break;
      case COMMA:
        if (place !== undefined) place.position += 1;
        isKey = place?.isObject ?? false;
        at += 1;
        break;
      case COLON:
      default:
        at += 1;
    }
  }
  keep(kept, text.length);
  return { value: parse(rest.join('')), data };
}

/** The end of a list that begins at `start`, behind its bracket. */
function* endOfList(text: Buffer, start: number): Steps<number> {
  const counter = new StepCounter();
  let depth = 0;
  for (let at = start; at < text.length;) {
    if (counter.isDue(1)) yield;
    switch (text[at]) {
      case QUOTE:
        at = yield* endOfText(text, at);
        continue;
      case OPEN_LIST:
        depth += 1;
        if (depth > MAX_DEPTH) throw malformed(`has more than ${MAX_DEPTH} lists in one another`);
        break;
      case CLOSE_LIST:
        depth -= 1;
        if (depth === 0) return at + 1;
    }
    at += 1;
  }
  throw malformed('has a list without an end');
}

/** The end of a text that begins at `start`, behind its quote. */
export function* endOfText(text: Buffer, start: number): Steps<number> {
  const counter = new StepCounter();
  for (let at = text.indexOf(QUOTE, start + 1); at >= 0; at = text.indexOf(QUOTE, at + 1)) {
    let backslashes = 0;
    while (text[at - 1 - backslashes] === BACKSLASH) {
      backslashes += 1;
      if (counter.isDue(1)) yield;
    }
    if (backslashes % 2 === 0) return at + 1;
  }
  throw malformed('has a text without an end');
}

function open(places: Place[], isObject: boolean): void {
  if (places.length === MAX_DEPTH) throw malformed(`has more than ${MAX_DEPTH} lists and objects in one another`);
  places.push({ isObject, position: 0 });
}

/** The input whose data begins here, by its position; undefined if none does. */
function inputOfData([root, inputs, input, ...deeper]: readonly Place[]): number | undefined {
  const isData = root?.key === 'inputs' && input?.key === 'data' && input.isObject && deeper.length === 0;
  return isData && inputs?.isObject === false ? inputs.position : undefined;
}

/** Longer ones are none that matter. */
const MAX_KEY_BYTES = 100;

function keyOf(text: Buffer, start: number, end: number): string {
  return end - start > MAX_KEY_BYTES ? '' : String(parse(text.toString('utf8', start, end)));
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json) as unknown;
  } catch (error) {
    throw malformed(`is no JSON: ${(error as Error).message}`);
  }
}

function malformed(detail: string): ServiceError {
  return new ServiceError('INVALID_REQUEST', `The request ${detail}.`);
}
