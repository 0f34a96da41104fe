/** Connected regions of cells. Cells are connected over edges and corners. Pure. */
import { StepCounter, type Steps } from './steps.js';

/** Bounds of a region in cells, inclusive, and how many cells it has. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  readonly cells: number;
}

/**
 * The region that holds the cell `seed`: a flood fill over the cells that `belongs` accepts. Cells that it takes are
 * marked in `seen` `[height × width]`, and cells marked there before are not taken. `steps` counts the cells of all
 * regions of a map: there may be as many regions as cells.
 */
export function* regionFrom(
  seed: number,
  { width, height }: { readonly width: number; readonly height: number },
  belongs: (cell: number) => boolean,
  seen: Uint8Array,
  steps = new StepCounter(),
): Steps<Region> {
  const region = { left: width, top: height, right: -1, bottom: -1, cells: 0 };
  const open = [seed];
  seen[seed] = 1;
  for (let cell = open.pop(); cell !== undefined; cell = open.pop()) {
    const x = cell % width;
    const y = Math.floor(cell / width);
    region.left = Math.min(region.left, x);
    region.right = Math.max(region.right, x);
    region.top = Math.min(region.top, y);
    region.bottom = Math.max(region.bottom, y);
    region.cells += 1;
    if (steps.isDue(1)) yield;
    for (let ny = Math.max(0, y - 1); ny <= Math.min(height - 1, y + 1); ny++) {
      for (let nx = Math.max(0, x - 1); nx <= Math.min(width - 1, x + 1); nx++) {
        const neighbour = ny * width + nx;
        if (seen[neighbour] === 1 || !belongs(neighbour)) continue;
        seen[neighbour] = 1;
        open.push(neighbour);
      }
    }
  }
  return region;
}

/** The most regions of an image that are kept: its classes share them. Whatever is smaller is a speck among specks. */
export const MAX_REGIONS = 10_000;

/** Keeps the largest of many things. */
export class Largest<Item> {
  readonly #sizeOf: (item: Item) => number;
  #kept: Item[] = [];
  #added = 0;

  constructor(sizeOf: (item: Item) => number) {
    this.#sizeOf = sizeOf;
  }

  /** Add a thing. `most` is how many to keep; it may shrink from one call to the next, but not grow. */
  add(item: Item, most: number): void {
    this.#kept.push(item);
    this.#added += 1;
    // Seldom, so that sorting costs no more than adding.
    if (this.#kept.length > 2 * most + 64) this.#cut(most);
  }

  /** The largest `most`, the largest first; of equals the one that was added first comes first. */
  take(most: number): Item[] {
    this.#cut(most);
    return this.#kept;
  }

  /** How many were added. */
  get added(): number {
    return this.#added;
  }

  #cut(most: number): void {
    const sizeOf = this.#sizeOf;
    this.#kept = this.#kept.sort((a, b) => sizeOf(b) - sizeOf(a)).slice(0, most);
  }
}
