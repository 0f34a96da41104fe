/**
 * Limits for JSON texts from strangers, checked before anything is made of them: sixteen megabytes of `{},` would become
 * half a gigabyte of objects, and a check of each of these by a schema gigabytes of reasons.
 */

/** Limit for the values in one text: as many as 100,000 labels have, and half as many again. */
const MAX_VALUES = 500_000;

/** Limit for objects and lists inside of one another. */
const MAX_DEPTH = 100;

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Why a text in UTF-8 has too much in it; undefined if it has not. The text need not be valid JSON. */
export function excessOf(text: Uint8Array): string | undefined {
  let [values, depth] = [1, 0];
  for (let i = 0; i < text.length; i += 1) {
    switch (text[i]) {
      case QUOTE:
        for (i += 1; i < text.length && text[i] !== QUOTE; i += 1) if (text[i] === BACKSLASH) i += 1;
        break;
      case COMMA:
        values += 1;
        break;
      case OPEN_LIST:
      case OPEN_OBJECT:
        values += 1;
        depth += 1;
        if (depth > MAX_DEPTH) return `has more than ${MAX_DEPTH} objects and lists inside of one another`;
        break;
      case CLOSE_LIST:
      case CLOSE_OBJECT:
        depth -= 1;
    }
    if (values > MAX_VALUES) return `has more than ${MAX_VALUES} values`;
  }
  return undefined;
}
