/** Sizes of network inputs, and a bounded memory of results by size. */

/** Width and height in pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** The longest side of the images that a net is made for, in pixels. */
export const MAX_INPUT_SIDE = 4096;

export function isSameSize(a: Size, b: Size): boolean {
  return a.width === b.width && a.height === b.height;
}

/** As a manifest says it: the side of a square, or [height, width]. */
export function statedSize({ width, height }: Size): string {
  return width === height ? String(width) : `[${height}, ${width}]`;
}

/** Remember the results for the sizes used last. The memory is bounded, because a client may send ever new sizes. */
export function memoizeBySize<T>(compute: (size: Size) => T, capacity = 64): (size: Size) => T {
  const known = new Map<string, T>();
  return (size) => {
    const key = `${size.width}x${size.height}`;
    const value = known.get(key) ?? compute(size);
    known.delete(key);
    known.set(key, value);
    const [oldest] = known.keys();
    if (known.size > capacity && oldest !== undefined) known.delete(oldest);
    return value;
  };
}
