/** Sizes of network inputs, and what is worth remembering by them. */

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Remember the latest sizes asked for; a client that sends ever new sizes must not make the memory grow. */
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
