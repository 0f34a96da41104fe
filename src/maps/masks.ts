/**
 * Masks of pixels: from polygons and run lengths, and to run lengths. Pure.
 *
 * Polygons are rings in pixel edges (pixel i covers [i, i + 1)), filled by the even-odd rule; a pixel belongs to one if
 * its centre does. Run lengths are COCO's (Lin 2014; pycocotools, maskApi.c): column by column, the counts of pixels
 * outside and inside in turn, the first outside; the compressed form writes them as text.
 */
import type { PixelSize } from './input-plan.js';

/** 1 where a pixel belongs to it, `[height, width]`. */
export interface Mask extends PixelSize {
  readonly values: Uint8Array;
}

/** A closed ring `x0, y0, x1, y1, …`; the last point is joined to the first. */
export type Ring = readonly number[];

/** COCO's run lengths: counts as they are, or as pycocotools compresses them. `size` is `[height, width]`. */
export interface RunLengths {
  readonly size: readonly [height: number, width: number];
  readonly counts: readonly number[] | string;
}

export function emptyMask({ width, height }: PixelSize): Mask {
  return { width, height, values: new Uint8Array(width * height) };
}

/** Add the pixels whose centre is inside of the rings, by the even-odd rule over all of them together. */
export function fillRings({ width, height, values }: Mask, rings: readonly Ring[]): void {
  for (let y = 0; y < height; y++) {
    const crossings = rings.flatMap((ring) => crossingsOf(ring, y + 0.5)).sort((a, b) => a - b);
    for (let i = 0; i + 1 < crossings.length; i += 2) {
      const from = Math.max(0, Math.ceil(crossings[i]! - 0.5));
      const to = Math.min(width, Math.ceil(crossings[i + 1]! - 0.5));
      if (to > from) values.fill(1, y * width + from, y * width + to);
    }
  }
}

/** Where a ring crosses the horizontal line at y. An end on the line belongs to the edge below it. */
function crossingsOf(ring: Ring, y: number): number[] {
  const crossings: number[] = [];
  for (let i = 0; i < ring.length; i += 2) {
    const [x0, y0] = [ring[i]!, ring[i + 1]!];
    const [x1, y1] = [ring[(i + 2) % ring.length]!, ring[(i + 3) % ring.length]!];
    if (y0 <= y !== y1 <= y) crossings.push(x0 + ((y - y0) / (y1 - y0)) * (x1 - x0));
  }
  return crossings;
}

/** Add the pixels of run lengths. Throws RangeError if they do not fill the mask exactly. */
export function fillRuns({ width, height, values }: Mask, { size, counts }: RunLengths): void {
  if (size[0] !== height || size[1] !== width) {
    throw new RangeError(`run lengths of ${size[1]}×${size[0]} pixels in an image of ${width}×${height}`);
  }
  const runs = typeof counts === 'string' ? decompressCounts(counts) : counts;
  if (runs.some((run) => run < 0) || runs.reduce((sum, run) => sum + run, 0) !== width * height) {
    throw new RangeError('the run lengths are not those of an image of this size');
  }
  let start = 0;
  runs.forEach((run, position) => {
    for (let i = start; position % 2 === 1 && i < start + run; i++) {
      values[(i % height) * width + Math.floor(i / height)] = 1;
    }
    start += run;
  });
}

/** Bits of a count in each character of the compressed form. The highest bit of the last character is the sign. */
const CHUNK_BITS = 5;
const CHUNK = (1 << CHUNK_BITS) - 1;
const SIGN = 1 << (CHUNK_BITS - 1);
const MORE = 1 << CHUNK_BITS;
const FIRST_CHARACTER = 48;

/** Characters that leave a writer in one piece. */
const PIECE = 4096;

/**
 * Writes run lengths as pycocotools compresses them, from runs that are added in order, column by column. From the fourth
 * count on it writes the difference to the count two before. Low bits come first, five per character; a sixth bit is set
 * if more follow. Takes a byte for each character of the text, whatever the number of runs.
 */
export class RunLengthWriter {
  #text = new Uint8Array(16);
  #length = 0;
  /** Counts that are written, and the last two of them. */
  #written = 0;
  #oneBefore = 0;
  #twoBefore = 0;
  /** The run that may still grow. The first count is of pixels outside, and may be 0. */
  #inside = false;
  #count = 0;

  /** Add `length` pixels, down the column and on at the top of the next. Runs of the same kind are joined. */
  add(inside: boolean, length: number): void {
    if (inside !== this.#inside) {
      this.#write(this.#count);
      this.#inside = inside;
      this.#count = 0;
    }
    this.#count += length;
  }

  /** Add the last run. Nothing may be added afterwards. */
  end(): void {
    this.#write(this.#count);
  }

  /** The text, in pieces. */
  *pieces(): Generator<string, void, void> {
    for (let from = 0; from < this.#length; from += PIECE) {
      yield String.fromCharCode(...this.#text.subarray(from, Math.min(from + PIECE, this.#length)));
    }
  }

  #write(count: number): void {
    let rest = this.#written > 2 ? count - this.#twoBefore : count;
    for (let more = true; more;) {
      const chunk = rest & CHUNK;
      rest >>= CHUNK_BITS;
      more = rest !== (chunk & SIGN ? -1 : 0);
      this.#append(FIRST_CHARACTER + chunk + (more ? MORE : 0));
    }
    this.#twoBefore = this.#oneBefore;
    this.#oneBefore = count;
    this.#written += 1;
  }

  #append(character: number): void {
    if (this.#length === this.#text.length) {
      const longer = new Uint8Array(2 * this.#length);
      longer.set(this.#text);
      this.#text = longer;
    }
    this.#text[this.#length] = character;
    this.#length += 1;
  }
}

/** The counts of a compressed form. */
export function decompressCounts(text: string): number[] {
  const counts: number[] = [];
  let value = 0;
  let shift = 0;
  for (const character of text) {
    const chunk = character.charCodeAt(0) - FIRST_CHARACTER;
    value |= (chunk & CHUNK) << shift;
    shift += CHUNK_BITS;
    if (chunk & MORE) continue;
    if (chunk & SIGN && shift < 32) value |= -1 << shift;
    counts.push(counts.length > 2 ? value + counts[counts.length - 2]! : value);
    value = 0;
    shift = 0;
  }
  return counts;
}
