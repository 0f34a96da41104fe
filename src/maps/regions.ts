/** Connected regions of cells. Cells are connected over edges and corners. Pure. */

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
 * marked in `seen` `[height × width]`, and cells marked there before are not taken.
 */
export function regionFrom(
  seed: number,
  { width, height }: { readonly width: number; readonly height: number },
  belongs: (cell: number) => boolean,
  seen: Uint8Array,
): Region {
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
