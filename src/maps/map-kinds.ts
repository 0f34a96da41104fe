/**
 * What a cell of a class map is. `windows`: the classifier in a window at that place, exactly. `cells`: its head applied to one cell of
 * the last map. For a head that is affine behind a mean both are the same; for others `cells` is finer and no classification.
 */
export const MAP_KINDS = {
  windows: 'the classifier in a window at each place',
  cells: "the classifier's head at each cell of its last map; inexact for heads with hidden layers",
} as const;

export type MapKind = keyof typeof MAP_KINDS;
