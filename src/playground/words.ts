/** The page's names for the words of the API, in the order of its lists. */
import type { Edge } from '../maps/edges.js';
import type { MapKind } from '../maps/map-kinds.js';
import type { ValueRange } from '../maps/value-range.js';
import type { Vocabulary } from '../vocabulary.js';
import type { Question } from './question.js';

export const FIT_NAMES: Vocabulary<Question['fit']> = {
  whole: 'whole',
  crop: 'centre crop',
  stretch: 'stretched to a square',
};

export const EDGE_NAMES: Vocabulary<Edge> = {
  valid: 'valid (exact)',
  same: 'same (padded)',
};

export const MAP_KIND_NAMES: Vocabulary<MapKind> = {
  windows: 'windows (exact)',
  cells: 'cells (inexact)',
};

export const RANGE_NAMES: Vocabulary<ValueRange> = {
  absolute: '0 to 100 %',
  minmax: 'the map’s own range',
};

/** As the options of a select. */
export function optionsOf(names: Vocabulary): { value: string; text: string }[] {
  return Object.entries(names).map(([value, text]) => ({ value, text }));
}
