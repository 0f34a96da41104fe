/**
 * Colour maps as tables of 256 sRGB colours, from d3-scale-chromatic. viridis, magma, inferno, plasma and cividis grow
 * evenly in lightness, cividis also for colour-blind eyes; turbo is the rainbow for those who want one.
 */
import { rgb } from 'd3-color';
import {
  interpolateCividis,
  interpolateInferno,
  interpolateMagma,
  interpolatePlasma,
  interpolateTurbo,
  interpolateViridis,
} from 'd3-scale-chromatic';

const INTERPOLATORS = {
  viridis: interpolateViridis,
  magma: interpolateMagma,
  inferno: interpolateInferno,
  plasma: interpolatePlasma,
  cividis: interpolateCividis,
  turbo: interpolateTurbo,
} as const;

export type ColormapName = keyof typeof INTERPOLATORS;

export const COLORMAP_NAMES = Object.keys(INTERPOLATORS) as [ColormapName, ...ColormapName[]];

export const DEFAULT_COLORMAP: ColormapName = 'inferno';

export const COLORMAP_SIZE = 256;

const tables = new Map<ColormapName, Uint8Array>();

/** The table `[256, 3]` of a colour map, from low to high. Shared: must not be changed. */
export function colormap(name: ColormapName): Uint8Array {
  const known = tables.get(name);
  if (known !== undefined) return known;
  const table = new Uint8Array(COLORMAP_SIZE * 3);
  for (let i = 0; i < COLORMAP_SIZE; i++) {
    const { r, g, b } = rgb(INTERPOLATORS[name](i / (COLORMAP_SIZE - 1)));
    table.set([r, g, b].map(Math.round), i * 3);
  }
  tables.set(name, table);
  return table;
}
