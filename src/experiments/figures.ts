/** Figures as reports write them. */

/** Percent to a tenth. */
export function percent(value: number): number {
  return Math.round(10 * value) / 10;
}

/** A change in points to a tenth, with its sign. */
export function points(change: number): string {
  const rounded = percent(change);
  return rounded > 0 ? `+${rounded}` : rounded < 0 ? `−${-rounded}` : '0';
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return Number.isInteger(middle) ? (sorted[middle - 1]! + sorted[middle]!) / 2 : sorted[Math.floor(middle)]!;
}
