/**
 * The text of a key, `fc_ID_SECRET`: what a client sends. The id names the entry of the keys file, and is no secret: it says
 * which one entry to verify. The secret has 256 random bits.
 */
import { randomBytes } from 'node:crypto';

/** An id and a secret as they are written; both in the alphabet of base64url, the id without `_`. */
export interface KeyText {
  readonly id: string;
  readonly secret: string;
}

export const ID_PATTERN = /^[0-9a-zA-Z-]{4,32}$/;

const KEY = /^fc_([0-9a-zA-Z-]{4,32})_([\w-]{22,128})$/;

const ID_BYTES = 6;
const SECRET_BYTES = 32;

/** A new key. Its id is new with a probability of one in 2⁴⁸. */
export function makeKey(): KeyText {
  return { id: randomBytes(ID_BYTES).toString('hex'), secret: randomBytes(SECRET_BYTES).toString('base64url') };
}

export function formatKey({ id, secret }: KeyText): string {
  return `fc_${id}_${secret}`;
}

/** Undefined for what is no key by its form. */
export function parseKey(text: string): KeyText | undefined {
  const [, id, secret] = KEY.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}
