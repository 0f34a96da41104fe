/**
 * Where a class map ends. `valid`: only windows that lie inside of the network's last map. `same`: as many cells as that
 * map, with zeros around it.
 */
export const EDGES = {
  valid: 'exact sliding window',
  same: 'zero-padded head, the map covers the image',
} as const;

export type Edge = keyof typeof EDGES;
