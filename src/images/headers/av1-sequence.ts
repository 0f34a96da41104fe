/**
 * The colour range of an AV1 bitstream, from its sequence header: all values, or those of video, 16 to 235. An AVIF need
 * not say it in a box.
 *
 * Source: AV1 bitstream specification 1.0.0 with errata 1, §4.10.3 and §5.3 to §5.5.
 */
import { BrokenHeaderError } from './fields.js';

const SEQUENCE_HEADER = 1;
/** OBUs that are looked at. The sequence header is the first or the second. */
const MAX_OBUS = 16;
/** Zeros in front of a number of variable length. As many stand for the one number that a sequence header may not have. */
const MAX_ZEROS = 32;

/** Whether the stream has the full range; undefined where no sequence header is found. Throws BrokenHeaderError. */
export function hasFullRange(stream: Uint8Array): boolean | undefined {
  let at = 0;
  for (let count = 0; count < MAX_OBUS && at < stream.length; count++) {
    const header = stream[at]!;
    at += (header & 4) === 0 ? 1 : 2;
    let size = stream.length - at;
    if ((header & 2) !== 0) [size, at] = leb128(stream, at);
    if (((header >> 3) & 15) === SEQUENCE_HEADER) return rangeOf(new Bits(stream.subarray(at, at + size)));
    at += size;
  }
  return undefined;
}

/** A number of up to 8 bytes, the low 7 bits first, and where it ends. */
function leb128(bytes: Uint8Array, start: number): [value: number, end: number] {
  let value = 0;
  for (let i = 0; i < 8; i++) {
    const byte = bytes[start + i] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if ((byte & 0x80) === 0) return [value, start + i + 1];
  }
  throw new BrokenHeaderError('has an AV1 stream of impossible length');
}

/** Bits from the highest on. Behind the end an error. */
class Bits {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Up to 32 bits. */
  read(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i++) value = value * 2 + this.#bit();
    return value;
  }

  flag(): boolean {
    return this.#bit() === 1;
  }

  skip(count: number): void {
    this.#at += count;
  }

  /** uvlc() */
  skipVariable(): void {
    let zeros = 0;
    while (!this.flag()) {
      if (++zeros === MAX_ZEROS) throw new BrokenHeaderError('has an AV1 stream with a number of more than 32 bits');
    }
    this.skip(zeros);
  }

  #bit(): number {
    const byte = this.#bytes[this.#at >> 3];
    if (byte === undefined) throw new BrokenHeaderError('has an AV1 stream that ends in its header');
    return (byte >> (7 - (this.#at++ & 7))) & 1;
  }
}

/** sequence_header_obu(), up to color_range. */
function rangeOf(bits: Bits): boolean {
  const profile = bits.read(3);
  bits.skip(1);
  const isReduced = bits.flag();
  if (isReduced) bits.skip(5);
  else skipOperatingPoints(bits);
  const [widthBits, heightBits] = [bits.read(4) + 1, bits.read(4) + 1];
  bits.skip(widthBits + heightBits);
  if (!isReduced && bits.flag()) bits.skip(7);
  bits.skip(3);
  if (!isReduced) skipTools(bits);
  bits.skip(3);
  return colourRange(bits, profile);
}

function skipOperatingPoints(bits: Bits): void {
  let delayBits = 0;
  if (bits.flag()) {
    bits.skip(64);
    if (bits.flag()) bits.skipVariable();
    if (bits.flag()) {
      delayBits = bits.read(5) + 1;
      bits.skip(42);
    }
  }
  const hasDisplayDelay = bits.flag();
  for (let points = bits.read(5) + 1; points > 0; points--) {
    bits.skip(12);
    if (bits.read(5) > 7) bits.skip(1);
    if (delayBits > 0 && bits.flag()) bits.skip(2 * delayBits + 1);
    if (hasDisplayDelay && bits.flag()) bits.skip(4);
  }
}

function skipTools(bits: Bits): void {
  bits.skip(4);
  const hasOrderHint = bits.flag();
  if (hasOrderHint) bits.skip(2);
  const forcesScreenContent = bits.flag() || bits.flag();
  if (forcesScreenContent && !bits.flag()) bits.skip(1);
  if (hasOrderHint) bits.skip(3);
}

/** color_config() */
function colourRange(bits: Bits, profile: number): boolean {
  const isHigh = bits.flag();
  if (profile === 2 && isHigh) bits.skip(1);
  const isGrey = profile !== 1 && bits.flag();
  const description = bits.flag() ? [bits.read(8), bits.read(8), bits.read(8)] : [];
  // sRGB coded as itself has no choice.
  if (!isGrey && description.join() === '1,13,0') return true;
  return bits.flag();
}
