/**
 * `fullconv inspect MODEL`: describes a model: its layers, its class map, and the requests that it answers. With `--draw`
 * it draws the net.
 */
import { basename } from 'node:path';
import type { Config } from '../../config.js';
import { UsageError } from '../../errors.js';
import { writeWhole } from '../../files.js';
import { pixelSize, type StatedSize } from '../../maps/input-plan.js';
import { ACTIVATIONS } from '../../maps/scores.js';
import type { Heatmaps, ModelDescription } from '../../models/look/description.js';
import { drawNet } from '../../models/look/block-diagram/draw.js';
import { findClassifier, inspectModel } from '../../models/look/inspect.js';
import { blocksOf, kernelText, operatorText, type Layer } from '../../models/look/layers.js';
import type { InputPreset } from '../../models/manifest.js';
import { OUTPUTS } from '../../models/networks/network.js';
import { formatTable } from '../local-service.js';
import { printable } from '../terminal/printable.js';
import { megabytes } from '../terminal/transfer-bar.js';

export interface InspectFlags {
  readonly layers?: boolean;
  readonly size?: number;
  readonly json?: boolean;
  readonly draw?: boolean;
  readonly part?: string;
  /** Of an architecture, by name. */
  readonly option?: Readonly<Record<string, number | string | boolean>>;
  /** The file of the drawing; `-` is the standard output, as is none. */
  readonly output?: string;
}

export async function inspectCommand(config: Config, what: string, flags: InspectFlags): Promise<void> {
  if (flags.draw) return drawCommand(config, what, flags);
  const [unused] = (['part', 'output'] as const).filter((name) => flags[name] !== undefined);
  if (unused !== undefined) throw new UsageError(`--${unused} is for --draw.`);
  const description = await inspectModel(what, { ...config, side: flags.size, options: flags.option ?? {} });
  const text = flags.json ? JSON.stringify(description, null, 2) : describe(description, flags.layers ?? false);
  process.stdout.write(text + '\n');
}

async function drawCommand(config: Config, what: string, flags: InspectFlags): Promise<void> {
  const { part, option: options = {}, output = '-' } = flags;
  const { classifier, nativeSize } = await findClassifier(what, { ...config, options });
  const svg = drawNet(classifier, nativeSize, { title: basename(what), part });
  if (output === '-') process.stdout.write(svg);
  else await writeWhole(output, svg);
}

/** Characters in a line of the text for people. */
const WIDTH = 118;

/** The description as text for people. Without `allLayers` its table lists blocks of layers. */
export function describe(description: ModelDescription, allLayers: boolean): string {
  const { name, version, digest, layers, head, heatmaps } = description;
  return [
    printable(digest === undefined ? name : `${name}, version ${version}`),
    facts([
      ['about', description.description],
      ['architecture', architecture(description)],
      ['licence', description.license],
      ['source', description.source],
      ['digest', digest],
      ['classes', classText(description)],
      ['input', input(description)],
      ['output', outputText(description)],
      ['parameters', `${millions(description.parameters)} M, ${weights(description)}`],
      ['multiply-adds', `${gmacs(description.multiplyAdds)} GMAC for one image of ${square(description.size)}`],
    ]),
    allLayers ? layerTable(layers) : blockTable(layers),
    facts([
      ['head', head.was],
      ['became', head.became],
      ['class map', mapText(heatmaps, description.size)],
      ['classify', classifyText(description)],
      ['heatmaps', heatmapText(heatmaps)],
      ['parity', parityText(description)],
    ]),
  ].join('\n\n');
}

/** Two classes of one number: the sigmoid is that of the second alone. */
function outputText({ output, activation, temperature }: ModelDescription): string {
  const divided = temperature === 1 ? '' : `; probabilities at a temperature of ${temperature}`;
  return `${OUTPUTS[output]}; ${ACTIVATIONS[activation]}${divided}`;
}

/** Lines of a name and a text, which is made printable. A long text is wrapped and goes on below itself. */
export function facts(rows: readonly (readonly [name: string, text: string | undefined])[]): string {
  const indent = 18;
  return rows
    .filter(([, text]) => text !== undefined)
    .map(
      ([name, text = '']) =>
        `  ${name.padEnd(indent - 2)}${wrap(printable(text), WIDTH - indent).join('\n'.padEnd(indent + 1))}`,
    )
    .join('\n');
}

function wrap(text: string, width: number): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

function architecture({ architecture: name, options = {} }: ModelDescription): string {
  return [name, ...Object.entries(options).map(([option, value]) => `${option} ${value}`)].join(', ');
}

function classText({ classes, labels }: ModelDescription): string {
  if (labels === undefined) return String(classes);
  const some = labels.slice(0, 4).map(({ label }) => label);
  return `${classes}: ${[...some, ...(labels.length > some.length ? ['…'] : [])].join('; ')}`;
}

function input({ input: preset, nativeSize }: ModelDescription): string {
  if (preset === undefined) return `${square(nativeSize)}; nothing says how the net wants its pixels`;
  const { size, resize, interpolation, fit } = preset;
  const how =
    fit === 'stretch'
      ? `stretched to it (${interpolation})`
      : `short side to ${resize} (${interpolation}), the middle cut out`;
  const made = square(size) === square(nativeSize) ? '' : `, made for ${square(nativeSize)}`;
  return `${square(size)}${made}: ${how}; ${pixels(preset)}`;
}

/** How the numbers of the input are made of pixels, in words. */
export function pixels({ channels, range, mean, std }: InputPreset): string {
  const list = (values: readonly number[]): string => values.map((value) => Number(value.toPrecision(4))).join(', ');
  return `${channels}, (pixel / ${range} − mean) / std with mean ${list(mean)} and std ${list(std)}`;
}

function weights({ weightBytes, digest }: ModelDescription): string {
  return digest === undefined ? `${megabytes(weightBytes)} in single precision` : `${megabytes(weightBytes)} on disk`;
}

function layerTable(layers: readonly Layer[]): string {
  const rows = layers.map((layer) => [
    shorten(layer.name, 44),
    shorten(operatorText(layer), 34),
    sizes(layer.output),
    count(layer.parameters),
    count(layer.multiplyAdds),
  ]);
  return table(['layer', 'operator', 'output', 'parameters', 'multiply-adds'], rows);
}

function blockTable(layers: readonly Layer[]): string {
  const rows = blocksOf(layers).map((block) => [
    shorten(block.name, 34),
    shorten(operatorsText(block.layers), 44),
    sizes(block.output),
    count(block.parameters),
    count(block.multiplyAdds),
  ]);
  return table(['block', 'layers', 'output', 'parameters', 'multiply-adds'], rows);
}

/** Aligns the last two columns to the right: they hold numbers as text. */
function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows];
  const widest = (column: number): number => Math.max(...cells.map((row) => row[column]!.length));
  const aligned = cells.map((row) => row.map((cell, column) => (column < 3 ? cell : cell.padStart(widest(column)))));
  return formatTable(aligned[0]!, aligned.slice(1));
}

/**
 * The operators of a block: windows, matrix products, Add and Concat. The others are listed if it has none of these.
 */
function operatorsText(layers: readonly Layer[]): string {
  const names = (chosen: readonly Layer[]): string[] =>
    chosen.map((layer) => `${layer.operator} ${kernelText(layer)}`.trim());
  const weighty = layers.filter(
    ({ operator, window }) => window !== undefined || ['Gemm', 'MatMul', 'Add', 'Concat'].includes(operator),
  );
  const shown = names(weighty.length > 0 ? weighty : layers);
  const counts = new Map<string, number>();
  for (const name of shown) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, times]) => (times === 1 ? name : `${times} ${name}`)).join(', ');
}

function mapText(heatmaps: Heatmaps, size: StatedSize): string | undefined {
  if (!heatmaps.available) return undefined;
  const { geometry, cells, sameCells = cells, smallest } = heatmaps;
  const isWider = sameCells.width !== cells.width || sameCells.height !== cells.height;
  const same = isWider ? ` (${sameCells.width}×${sameCells.height} with edge=same)` : '';
  return (
    `${cells.width}×${cells.height} cells${same} at ${square(size)}, one every ${geometry.outputStride} pixels from ` +
    `${geometry.offset} on, each of which sees ${geometry.receptiveField}; the smallest input is ${smallest}`
  );
}

function heatmapText(heatmaps: Heatmaps): string {
  if (!heatmaps.available) return `none: ${heatmaps.reason}`;
  const strides = heatmaps.outputStrides.map(({ outputStride, pixelCost }) =>
    pixelCost === 1 ? String(outputStride) : `${outputStride} (${pixelCost} times the cost)`,
  );
  return `output stride ${strides.join(', ')}; edge ${heatmaps.edges.join(', ')}`;
}

function classifyText({ classify, nativeSize }: ModelDescription): string {
  return classify.sizes === 'native'
    ? `only at ${square(nativeSize)}`
    : `at ${square(nativeSize)} and any other size from ${classify.smallest} on`;
}

function parityText({ parity }: ModelDescription): string | undefined {
  if (parity === undefined) return undefined;
  const { difference, tolerance } = parity;
  return difference === undefined
    ? `not measured yet; the first load measures it, and allows ${tolerance} of the largest logit`
    : `its logits are off by ${difference.toExponential(1)} of the largest; ${tolerance} is allowed`;
}

function square(size: StatedSize): string {
  const { width, height } = pixelSize(size);
  return `${width}×${height}`;
}
const sizes = (dims: readonly number[] | undefined): string => dims?.join('×') ?? '?';
const count = (value: number): string => (value === 0 ? '' : value.toLocaleString('en-US'));
const millions = (value: number): string => (value / 1e6).toFixed(2);
const gmacs = (multiplyAdds: number): string => (multiplyAdds / 1e9).toFixed(2);

function shorten(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}
