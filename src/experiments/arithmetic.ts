/**
 * The arithmetic of convolutions: how large the map behind each layer is, for an input of any size, and by which sum. Needs
 * no weights.
 *
 * Source: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning" (2016), relationship 6; ONNX for
 * ceil_mode.
 */
import { graphAt } from '../models/look/description.js';
import { layersOf, operatorText, type Layer, type LayerWindow } from '../models/look/layers.js';
import type { FoundModel } from '../models/look/inspect.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Findings, Section } from './report.js';

export interface NetSizes {
  readonly model: string;
  /** Side of the input, in pixels. */
  readonly size: number;
  /** Height and width of the maps on the way, each once where it changes. */
  readonly maps: readonly (readonly [height: number, width: number])[];
  /** The class map, and where the head reaches over its border; absent of a net without one. */
  readonly classMap?: { readonly valid: Cells; readonly same?: Cells };
  readonly layers: readonly LayerSize[];
}

export interface Cells {
  readonly height: number;
  readonly width: number;
}

/** Shapes are `[C, H, W]`, or what the layer has in their place; undefined if they are not known. */
export interface LayerSize {
  readonly layer: string;
  readonly operator: string;
  readonly input: readonly number[] | undefined;
  readonly output: readonly number[] | undefined;
  /** The sum for each axis, or one for both; absent of a layer without a window. */
  readonly sums?: readonly string[];
}

/** The question of the lecture: what are the spatial resolutions for an input of 512×512? */
const MODELS = ['vgg16', 'resnet50'];
const SIZES = [512];

export async function arithmetic(
  lab: Lab,
  { model: models = MODELS, size: sizes = SIZES }: ExperimentOptions,
): Promise<Findings & { readonly data: { readonly nets: readonly NetSizes[] } }> {
  const nets: NetSizes[] = [];
  for (const name of models) {
    const found = await lab.look(name);
    for (const size of sizes) nets.push(sizesOf(name, found, size));
  }
  return {
    title: 'the size of every layer',
    data: { nets },
    sections: [
      {
        text: 'For each window o = ⌊(i + p − k) / s⌋ + 1, where p is the padding of both sides. A dilated window is as wide as the cells that it spans.',
      },
      ...nets.flatMap(sectionsOf),
    ],
  };
}

function sizesOf(model: string, { model: compiled, network }: FoundModel, side: number): NetSizes {
  const size = { width: side, height: side };
  const layers = layersOf(graphAt(compiled, network, size), size);
  const { dense } = compiled;
  const same =
    'view' in dense && dense.edges.includes('same') ? { same: dense.view({ edge: 'same' }).mapSize(size) } : {};
  return {
    model,
    size: side,
    maps: mapsOf(layers),
    ...('view' in dense && { classMap: { valid: dense.view().mapSize(size), ...same } }),
    layers: layers.map((layer) => ({
      layer: layer.name,
      operator: operatorText(layer),
      input: layer.input,
      output: layer.output,
      ...(layer.window !== undefined && { sums: sumsOf(layer, layer.window) }),
    })),
  };
}

/** The sizes of maps that windows make, one after the other, without repetitions. */
function mapsOf(layers: readonly Layer[]): [number, number][] {
  const maps: [number, number][] = [];
  for (const { window, output } of layers) {
    const [, height, width] = output ?? [];
    if (window === undefined || height === undefined || width === undefined) continue;
    const last = maps.at(-1);
    if (last?.[0] !== height || last[1] !== width) maps.push([height, width]);
  }
  return maps;
}

function sumsOf({ input = [], output = [] }: Layer, window: LayerWindow): string[] {
  const sums = window.kernel.map((_, axis) => sumOf(window, axis, input[1 + axis], output[1 + axis]));
  return sums.every((sum) => sum === sums[0]) ? sums.slice(0, 1) : sums;
}

/** `⌊(512 + 2·1 − 3)/2⌋ + 1 = 256`. */
export function sumOf(
  { kernel, stride, dilation, padding, ceil }: LayerWindow,
  axis: number,
  input: number | undefined,
  output: number | undefined,
): string {
  if (input === undefined || output === undefined) return 'the size of its input is not known';
  const [before, after] = padding[axis]!;
  const pad = before === after ? (before === 0 ? '' : ` + 2·${before}`) : ` + ${before} + ${after}`;
  const [k, d, s] = [kernel[axis]!, dilation[axis]!, stride[axis]!];
  const extent = d === 1 ? String(k) : `(${d}·(${k} − 1) + 1)`;
  const windows = (input + before + after - d * (k - 1) - 1) / s;
  const [open, close, counted] = ceil ? ['⌈', '⌉', Math.ceil(windows) + 1] : ['⌊', '⌋', Math.floor(windows) + 1];
  // With ceil_mode a window that would begin in the padding is left out.
  const left = ceil && counted > output ? ` − ${counted - output}` : '';
  return `${open}(${input}${pad} − ${extent})/${s}${close} + 1${left} = ${output}`;
}

function sectionsOf({ model, size, maps, classMap, layers }: NetSizes): Section[] {
  const cells = ({ height, width }: Cells): string => `${height}×${width}`;
  const side = ([height, width]: readonly [number, number]): string =>
    height === width ? String(height) : `${height}×${width}`;
  const { valid, same } = classMap ?? {};
  const isWider = same !== undefined && (same.height !== valid?.height || same.width !== valid.width);
  const map =
    valid === undefined
      ? ''
      : `; the class map has ${cells(valid)} cells${isWider ? `, ${cells(same)} with edge=same` : ''}`;
  const shape = (dims: readonly number[] | undefined): string => dims?.join('×') ?? '?';
  return [
    { text: `${model} at ${size}×${size}: maps of ${maps.map(side).join(', ')}${map}.` },
    {
      table: `${model} at ${size}×${size}, its windows`,
      header: ['layer', 'operator', 'input', 'output', 'o'],
      rows: layers
        .filter(({ sums }) => sums !== undefined)
        .map(({ layer, operator, input, output, sums = [] }) => [
          layer,
          operator,
          shape(input),
          shape(output),
          sums.join('; '),
        ]),
    },
  ];
}
