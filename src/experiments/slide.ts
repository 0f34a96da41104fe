/**
 * A fully connected layer is a convolution. The class map of a net with a fully connected head, beside two rows of answers of
 * the classifier that it was: its head on each window of the last map, which must give the cells themselves, and the
 * whole classifier on windows cut out of the photograph, which gives nearly them: a window that is cut out has zeros
 * around it where the photograph goes on.
 *
 * Source: Simonyan 2015, section 3.2; Long 2015, section 3.1.
 */
import { isDeepStrictEqual } from 'node:util';
import { findClass } from '../classes/classes.js';
import { OperatorError, UsageError } from '../errors.js';
import { readImage } from '../evaluation/image-file.js';
import { attribute } from '../graph/attributes.js';
import { fullyConnected, tailOf, type FullyConnected } from '../graph/classifier-head.js';
import type { Graph, Node } from '../graph/graph.js';
import { applyPasses } from '../graph/pass.js';
import { CLASS_MAP } from '../graph/passes/convolutionalize-gemm.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { tapValues } from '../graph/passes/tap-values.js';
import { toProbabilities } from '../maps/scores.js';
import { denseViews, type CompiledModel } from '../models/compile.js';
import type { FoundModel } from '../models/look/inspect.js';
import { elementCount, expectTensor, type Tensor } from '../tensor.js';
import { onlyModel, type Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import { openPart } from './part-session.js';
import { cutPixels, decodeMiddle, type Pixels } from './pixels.js';
import type { Findings, Section } from './report.js';
import type { Subject } from './subject.js';

/** The first layer of a head, twice. */
export interface SameWeights {
  readonly layer: string;
  readonly weights: number;
  /** [out, in], and [out, C, h, w]. */
  readonly fullyConnected: readonly number[];
  readonly convolution: readonly number[];
  /** Whether both are the same bytes of the same file. */
  readonly isSame: boolean;
}

export interface SlideData extends SameWeights {
  readonly model: string;
  /** Side of the input, in pixels. */
  readonly size: number;
  readonly cells: { readonly width: number; readonly height: number };
  /** Largest difference of a logit between the class map and the head on windows of the last map. */
  readonly difference: number;
  /** The same as a part of the largest logit. */
  readonly relative: number;
  /** The classifier on windows of the photograph. */
  readonly cutOut: {
    /** Share of the windows with the same first class as their cell. */
    readonly agreement: number;
    /** Mean difference of a logit, as a part of the largest. */
    readonly relative: number;
  };
  readonly class: string;
  /** Probability of the class in each cell, rows from the top. */
  readonly maps: Readonly<Record<'classMap' | 'head' | 'cutOut', readonly (readonly number[])[]>>;
}

/** The embedded model with such a head. */
const MODEL = 'tinyimagenet-vgg11bn-w32';
/** Each is a run of the classifier. */
const MOST_CELLS = 400;

export async function slide(
  lab: Lab,
  { images: file, model, size, class: name }: ExperimentOptions,
): Promise<Findings & { readonly data: SlideData }> {
  if (file === undefined) throw new UsageError('This experiment needs a photograph.');
  const image = await readImage(file);
  const data = await lab.use(onlyModel(model) ?? MODEL, async (subject) => {
    const { width, height } = subject.model.nativeSize;
    const side = size?.[0] ?? 2 * Math.max(width, height);
    const head = headOf(subject);
    checkCells(subject.model, side);
    const pixels = await decodeMiddle(lab.config, subject.model, image, { width: side, height: side });
    return slideOver(lab, subject, { head, pixels, side, name });
  });
  lab.sees({ from: file, count: 1 });
  return { title: 'a fully connected layer is a convolution', data, sections: sectionsOf(data) };
}

/** The first fully connected layer and the convolution that it became. Throws OperatorError if a net has none. */
export function headOf({ model, network }: Pick<FoundModel, 'model' | 'network'>): SlidingHead {
  const { name } = model.manifest;
  const { classifier, dense } = network;
  if ('unavailable' in dense || 'unavailable' in model.dense) {
    const reason = 'unavailable' in model.dense ? model.dense.unavailable : 'it has none';
    throw new OperatorError(`${name} has no class map: ${reason}`);
  }
  const layer = tailOf(classifier)
    .flatMap((node) => fullyConnected(classifier, node) ?? [])
    .at(-1);
  const convolution = dense.graph.nodes.find(({ op, inputs }) => op === 'Conv' && inputs[1] === layer?.weight.name);
  if (dense.poolsGlobally || layer === undefined || convolution === undefined) {
    throw new OperatorError(`${name} has no fully connected layer over a window of its last map; ${MODEL} has one`);
  }
  return { layer, convolution, dense: dense.graph, kernel: attribute(convolution, 'kernel_shape', 'ints') ?? [1, 1] };
}

interface SlidingHead {
  readonly layer: FullyConnected;
  readonly convolution: Node;
  readonly dense: Graph;
  /** [h, w]. */
  readonly kernel: readonly number[];
}

/** What both layers know as their weights. */
export function sameWeights({ layer, convolution, dense }: SlidingHead): SameWeights {
  const [before, after] = [layer.weight, dense.initializers.get(convolution.inputs[1]!)!];
  return {
    layer: layer.node.name,
    weights: elementCount(before.dims),
    fullyConnected: before.dims,
    convolution: after.dims,
    isSame: elementCount(before.dims) === elementCount(after.dims) && isDeepStrictEqual(before.data, after.data),
  };
}

/** Throws UsageError for a map of too many cells, and ServiceError for an input without a cell. */
function checkCells(model: CompiledModel, side: number): void {
  const { width, height } = denseViews(model).view().mapSize({ width: side, height: side });
  if (width * height > MOST_CELLS) {
    throw new UsageError(`${width}×${height} cells are more than ${MOST_CELLS}; --size takes a smaller side`);
  }
  const size = { width: side, height: side };
  model.classifyView(size).check(size);
}

interface Task {
  readonly head: SlidingHead;
  readonly pixels: Pixels;
  readonly side: number;
  readonly name: string | undefined;
}

async function slideOver(lab: Lab, subject: Subject, { head, pixels, side, name }: Task): Promise<SlideData> {
  const { model, network, open } = subject;
  const { labels, conversion, nativeSize } = model;
  const lastMap = head.convolution.inputs[0]!;
  const sliding = await open(applyPasses(head.dense, [tapValues([lastMap], nativeSize)]));
  const outputs = await sliding.pixels({ ...pixels, data: pixels.data.slice() });
  const classMap = expectTensor(outputs, CLASS_MAP, 'float32');
  const [classes = 0, height = 0, width = 0] = classMap.dims;
  const bar = lab.progress('windows', 2 * width * height);
  try {
    const part = await openPart(subject, head.layer.node.inputs[0]!, LOGITS);
    const map = expectTensor(outputs, lastMap, 'float32');
    const onMap = await eachCell({ width, height }, async (x, y) => {
      const logits = await part.run(windowOf(map, { x, y, kernel: head.kernel }));
      bar.step();
      return logits;
    }).finally(() => part.close());

    const classifier = await open(network.classifier);
    const stride = denseViews(model).view().geometry.outputStride;
    const onPhoto = await eachCell({ width, height }, async (x, y) => {
      const window = cutPixels(pixels, { left: stride * x, top: stride * y, ...nativeSize });
      const logits = expectTensor(await classifier.pixels(window), LOGITS, 'float32').data;
      bar.step();
      return logits;
    });

    const cells = Array.from({ length: width * height }, (_, cell) =>
      Float32Array.from({ length: classes }, (__, k) => classMap.data[k * width * height + cell]!),
    );
    const largest = cells.reduce((most, logits) => logits.reduce((a, b) => Math.max(a, Math.abs(b)), most), 0);
    const difference = Math.max(...cells.map((logits, cell) => Math.max(...differences(logits, onMap[cell]!))));
    const apart = cells.flatMap((logits, cell) => differences(logits, onPhoto[cell]!));
    const agreeing = cells.filter((logits, cell) => best(logits) === best(onPhoto[cell]!)).length;
    const shown = classOf(name, labels, meanOf(cells));
    const mapOf = (answers: readonly Float32Array[]): number[][] => {
      const scores = answers.map((logits) => toProbabilities(logits, conversion)[shown]!);
      return Array.from({ length: height }, (_, y) => scores.slice(y * width, (y + 1) * width));
    };
    return {
      model: model.manifest.name,
      ...sameWeights(head),
      size: side,
      cells: { width, height },
      difference,
      relative: difference / largest,
      cutOut: {
        agreement: agreeing / cells.length,
        relative: apart.reduce((sum, value) => sum + value, 0) / apart.length / largest,
      },
      class: labels[shown]!.label,
      maps: { classMap: mapOf(cells), head: mapOf(onMap), cutOut: mapOf(onPhoto) },
    };
  } finally {
    bar.stop();
  }
}

/** The results of all cells, row by row, one row at a time. */
async function eachCell(
  { width, height }: { readonly width: number; readonly height: number },
  work: (x: number, y: number) => Promise<Float32Array>,
): Promise<Float32Array[]> {
  const results: Float32Array[] = [];
  for (let y = 0; y < height; y += 1) {
    results.push(...(await Promise.all(Array.from({ length: width }, (_, x) => work(x, y)))));
  }
  return results;
}

/** A window of a map [C, H, W], flattened as [C, h, w]: what the fully connected layer was made for. */
export function windowOf(
  { dims, data }: Tensor<'float32'>,
  { x, y, kernel }: { readonly x: number; readonly y: number; readonly kernel: readonly number[] },
): Float32Array {
  const [channels = 0, height = 0, width = 0] = dims;
  const [rows = 1, columns = 1] = kernel;
  const window = new Float32Array(channels * rows * columns);
  for (let c = 0; c < channels; c += 1) {
    for (let row = 0; row < rows; row += 1) {
      const from = (c * height + y + row) * width + x;
      window.set(data.subarray(from, from + columns), (c * rows + row) * columns);
    }
  }
  return window;
}

function differences(a: Float32Array, b: Float32Array): number[] {
  return Array.from(a, (value, index) => Math.abs(value - b[index]!));
}

const best = (logits: Float32Array): number => logits.indexOf(Math.max(...logits));

function meanOf(all: readonly Float32Array[]): Float32Array {
  return all[0]!.map((_, index) => all.reduce((sum, logits) => sum + logits[index]!, 0) / all.length);
}

function classOf(name: string | undefined, labels: Subject['model']['labels'], logits: Float32Array): number {
  if (name === undefined) return best(logits);
  const index = findClass(name, labels);
  if (index === undefined) throw new UsageError(`there is no class "${name}"`);
  return index;
}

function sectionsOf(data: SlideData): Section[] {
  const { model, layer, weights, fullyConnected: before, convolution: after, isSame, size, cells } = data;
  const percent = (part: number): string => `${(100 * part).toFixed(1)} %`;
  const text =
    `${model}: the ${weights.toLocaleString('en-US')} weights of ${layer} are [${before.join(', ')}] fully connected and ` +
    `[${after.join(', ')}] as a convolution: ${isSame ? 'the same bytes' : 'not the same bytes'}. At ${size}×${size} pixels ` +
    `the class map has ${cells.width}×${cells.height} cells.`;
  return [
    { text },
    {
      table: 'Against the cells of the class map',
      header: ['answers of the classifier', 'difference of a logit, as a part of the largest', 'the same first class'],
      rows: [
        ['its head on the windows of the last map', `at most ${data.relative.toExponential(1)}`, ''],
        [
          'all of it on windows cut out of the photograph',
          `${percent(data.cutOut.relative)} on average`,
          percent(data.cutOut.agreement),
        ],
      ],
    },
    {
      text: 'A window that is cut out has the padding of every convolution around it, where the class map sees more of the photograph.',
    },
    {
      figure: 'slide',
      caption: `Probability of ${data.class}: the class map, the head on each window, the classifier on windows cut out`,
      draw: async () => {
        const { drawGrids } = await import('../plots/grids.js');
        return drawGrids({
          title: `${model} at ${size}×${size}, probability of ${data.class}`,
          grids: [
            { title: 'class map: the head as a convolution', rows: data.maps.classMap },
            { title: 'the head on each window of the last map', rows: data.maps.head },
            { title: 'the classifier on windows of the photo', rows: data.maps.cutOut },
          ],
        });
      },
    },
  ];
}
