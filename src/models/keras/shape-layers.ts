/**
 * Layers that move values, or crop and pad maps. Layers that move values expect channels last, so maps are transposed
 * to that order and back. The passes remove transpositions that turn out to move nothing (skip-idle-views.ts,
 * reorder-flattened-weight.ts).
 */
import { z } from 'zod';
import { int, ints } from '../../graph/attributes.js';
import { channelsLast, layerOnMap, layerOnOne, map, type LayerTools, type Value } from './layer.js';

const LARGEST = 2 ** 31;

function toChannelsLast(tools: LayerTools, { name, rank }: Value): string {
  return rank === 4 ? tools.node('Transpose', [name], { perm: ints(0, 2, 3, 1) }) : name;
}

function fromChannelsLast(tools: LayerTools, name: string, rank: number): Value {
  return { name: rank === 4 ? tools.node('Transpose', [name], { perm: ints(0, 3, 1, 2) }) : name, rank };
}

export const flatten = layerOnOne(z.object({ data_format: channelsLast }), (_, tools, x) => {
  if (x.rank === 2) return x;
  return { name: tools.node('Flatten', [toChannelsLast(tools, x)], { axis: int(1) }), rank: 2 };
});

const target = z.array(z.union([z.literal(-1), z.number().int().positive().max(LARGEST)]));

export const reshape = layerOnOne(z.object({ target_shape: target }), ({ target_shape: sizes }, tools, x) => {
  const shape = tools.constant('int64', [sizes.length + 1], [0, ...sizes]);
  const reshaped = tools.node('Reshape', [toChannelsLast(tools, x), shape]);
  return fromChannelsLast(tools, reshaped, sizes.length + 1);
});

export const permute = layerOnOne(z.object({ dims: z.array(z.number().int().positive()) }), ({ dims }, tools, x) => {
  const perm = ints(0, ...dims);
  return fromChannelsLast(tools, tools.node('Transpose', [toChannelsLast(tools, x)], { perm }), x.rank);
});

const amount = z.number().int().nonnegative().max(LARGEST);
type Sides = readonly [vertical: readonly [number, number], horizontal: readonly [number, number]];

/** Rows before and after, columns before and after; or one number for each pair, or one for all. */
const sides: z.ZodType<Sides> = z.union([
  z.tuple([z.tuple([amount, amount]), z.tuple([amount, amount])]),
  z.tuple([amount, amount]).transform(([rows, columns]): Sides => [
    [rows, rows],
    [columns, columns],
  ]),
  amount.transform((all): Sides => [
    [all, all],
    [all, all],
  ]),
]);

/** Cropping is padding by a negative number of cells: `sign` −1. */
function pad(tools: LayerTools, x: string, [[top, bottom], [left, right]]: Sides, sign: 1 | -1): Value {
  const pads = [0, 0, top, left, 0, 0, bottom, right].map((cells) => (cells === 0 ? 0 : sign * cells));
  return map(tools.node('Pad', [x, tools.constant('int64', [8], pads)]));
}

export const zeroPadding2d = layerOnMap(
  z.object({ padding: sides, data_format: channelsLast }),
  ({ padding }, tools, x) => pad(tools, x, padding, 1),
);

export const cropping2d = layerOnMap(
  z.object({ cropping: sides, data_format: channelsLast }),
  ({ cropping }, tools, x) => pad(tools, x, cropping, -1),
);
