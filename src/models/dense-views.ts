/**
 * The class maps of one fully convolutional net: at its own output stride and at finer ones, with a head that stays
 * inside the last map or reaches over its border. Each view is a separate graph over the same weights, made on first
 * use. All views give the image the same logits, from the cells of the net's own map.
 */
import { ServiceError } from '../errors.js';
import { countMultiplyAdds, countPeakValues } from '../graph/cost.js';
import { effectiveOffset } from '../graph/effective-centre.js';
import { mapGeometry, seesEverything, type MapGeometry } from '../graph/geometry.js';
import type { Graph } from '../graph/graph.js';
import { imageShapes } from '../graph/native-shapes.js';
import { applyPass, applyPasses } from '../graph/pass.js';
import { CLASS_MAP } from '../graph/passes/convolutionalize-gemm.js';
import { headPads, padHead } from '../graph/passes/pad-head.js';
import { reduceOutputStride } from '../graph/passes/reduce-output-stride.js';
import { CLASSES_INPUT, selectClasses } from '../graph/passes/select-classes.js';
import { inferShapes } from '../graph/shapes.js';
import { sizeStepOf, whySizesDisagree } from '../graph/size-step.js';
import { EDGES, type Edge } from '../maps/edges.js';
import { MAP_KINDS, type MapKind } from '../maps/map-kinds.js';
import type { SessionSpec } from '../runtime/session.js';
import { wordsOf } from '../vocabulary.js';
import { memoizeBySize, type Size } from './input-size.js';
import type { ConvolutionalNet } from './networks/network.js';
import type { SessionWriter } from './session-writer.js';

/** A graph that answers about images: its session, the cost of a run, and the inputs it takes. */
export interface View {
  readonly session: SessionSpec;
  /** Multiply-adds of convolutions and matrix products, for one image of this size. */
  multiplyAdds(input: Size): number;
  /** Bytes of activations at the peak of a run, for one image of this size, in single precision. */
  peakBytes(input: Size): number;
  /** Cost of a pixel relative to the net's coarsest view; 1 or more. */
  readonly pixelCost: number;
  /** Throws OUTPUT_UNSUPPORTED for an input that the view does not take. */
  readonly check: (input: Size) => void;
}

/** Where the cells look, and what one is. */
export interface ViewGeometry extends MapGeometry {
  readonly kind: MapKind;
}

/** Image and classes → the maps of those classes (graph/passes/select-classes.ts). */
export interface DenseView extends View {
  /** Where the cells look, in input pixels; `offset` accounts for the trained kernels (graph/effective-centre.ts). */
  readonly geometry: ViewGeometry;
  /** Undefined if cells also see pixels outside their receptive fields, so that tiles cannot be exact. */
  readonly tiling: TilingGeometry | undefined;
  /** Cells for an input; zero or less if the input is smaller than one window. */
  mapSize(input: Size): Size;
}

/** The geometry that tiles need: the full receptive fields, and the net's own output stride as `alignment`. */
export interface TilingGeometry extends MapGeometry {
  readonly alignment: number;
}

export interface DenseForm {
  /** Default: `windows`. */
  readonly map?: MapKind | undefined;
  /** Pixels between cells; default: the net's own. */
  readonly outputStride?: number | undefined;
  /** Default: `valid`. */
  readonly edge?: Edge | undefined;
}

export interface DenseViews {
  /** Whether the net ends in global average pooling, so that its classifier takes any size. */
  readonly poolsGlobally: boolean;
  /** Smallest side in pixels that holds one window. */
  readonly minimumSize: number;
  /** The net takes sides that are multiples of this, and hardly others; 1 for nearly all nets. */
  readonly sizeStep: number;
  /** The net's own, then finer ones. */
  readonly outputStrides: readonly number[];
  readonly edges: readonly Edge[];
  /** Those that the net has. */
  readonly kinds: readonly MapKind[];
  /** Throws OUTPUT_UNSUPPORTED for an input that holds no window or that the net does not take; the same for all forms. */
  readonly check: (input: Size) => void;
  /** Throws OUTPUT_UNSUPPORTED for a kind, an output stride or an edge that is not listed here. */
  view(form?: DenseForm): DenseView;
}

/** A map at a quarter of the stride has sixteen times the cells; a finer one would show nothing new. */
const FINENESS = [1, 2, 4];

/** Side of the image at which costs are compared, in native sizes: borders hardly matter there. */
const LARGE = 8;

export interface DenseOptions {
  /** Name of the model, for messages. */
  readonly name: string;
  /** Of the maps. Default: `windows`. */
  readonly kind?: MapKind;
  readonly nativeSize: Size;
  /** Of the probabilities (maps/scores.ts). Default: 1. */
  readonly temperature?: number;
  readonly session: SessionWriter;
}

/** The views of a net whose output is the class map. */
export function createDenseViews(net: ConvolutionalNet, options: DenseOptions): DenseViews {
  const { name, kind = 'windows', nativeSize, temperature, session } = options;
  const cells =
    net.cells === undefined
      ? undefined
      : createDenseViews(
          // Cells cover the image, as those of a net with global average pooling do.
          { graph: net.cells, poolsGlobally: true, sizeStep: net.sizeStep ?? 1 },
          { ...options, kind: 'cells', session: (view, ...others) => session(`cells-${view}`, ...others) },
        );
  const kinds: MapKind[] = net.poolsGlobally || cells !== undefined ? wordsOf(MAP_KINDS) : [kind];
  const own = mapGeometry(net.graph, CLASS_MAP).outputStride;
  const { sizeStep = 1 } = net;
  const outputStrides = FINENESS.map((fineness) => own / fineness).filter((stride) => {
    if (stride === own) return true;
    const finer = Number.isInteger(stride) ? applyPass(net.graph, reduceOutputStride(stride)) : undefined;
    return finer !== undefined && (sizeStep === 1 || (sizeStepOf(finer, nativeSize) ?? Infinity) <= sizeStep);
  });
  // A net with global average pooling scores every cell of its last map, so its class map covers the image unpadded.
  const pads = net.poolsGlobally ? undefined : headPads(net.graph);
  const coversImage = net.poolsGlobally || pads !== undefined;
  const edges: Edge[] = coversImage ? wordsOf(EDGES) : ['valid'];
  const sizeOf = mapSizer(net.graph);
  const none = { width: 0, height: 0 };
  const minimumSize = smallestSide(nativeSize, sizeStep, (input) =>
    whySizesDisagree(net.graph, input) === undefined ? sizeOf(input) : none,
  );

  const whyNot = memoizeBySize((input) => whySizesDisagree(net.graph, input));
  // What holds from the native size on may not hold below it.
  const isSure = ({ width, height }: Size): boolean =>
    sizeStep === 1 && width >= nativeSize.width && height >= nativeSize.height;

  function check(input: Size): void {
    const { width, height } = input;
    if (Math.min(width, height) >= minimumSize) {
      const reason = isSure(input) ? undefined : whyNot(input);
      if (reason === undefined) return;
      throw new ServiceError(
        'OUTPUT_UNSUPPORTED',
        `${name} does not take an input of ${width}×${height} pixels: ${reason}.`,
        {
          errors: [{ parameter: 'size', detail: `both sides must be multiples of ${sizeStep}` }],
        },
      );
    }
    throw new ServiceError(
      'OUTPUT_UNSUPPORTED',
      `An input of ${width}×${height} pixels is smaller than one window of ${name}; the smallest side is ${minimumSize} pixels.`,
      { errors: [{ parameter: 'size', detail: `must give at least ${minimumSize} pixels` }] },
    );
  }

  const coarsest = multiplyAddCounter(net.graph);

  function make(outputStride: number, edge: Edge): DenseView {
    const padding = edge === 'same' ? pads : undefined;
    const step = own / outputStride;
    const graph = applyPasses(net.graph, [
      ...(padding === undefined ? [] : [padHead()]),
      ...(step === 1 ? [] : [reduceOutputStride(outputStride)]),
    ]);
    const cells = { begin: (padding?.begin ?? 0) * step, end: (padding?.end ?? 0) * step, step };
    const multiplyAdds = multiplyAddCounter(graph);
    const ends = [selectClasses({ cells, temperature })];
    // Where classes are many, the ends take more than the net: they hold the class map twice.
    const whole = applyPasses(graph, ends);
    const peakBytes = memoizeBySize((input) => 4 * countPeakValues(whole, shapesFor(whole, input)));
    const geometry = mapGeometry(graph, CLASS_MAP);
    const side = sizeStep * Math.ceil((LARGE * Math.max(nativeSize.width, nativeSize.height)) / sizeStep);
    const large = { width: side, height: side };
    const view = ['dense', ...(step === 1 ? [] : [outputStride]), ...(padding === undefined ? [] : [edge])].join('-');
    const pixelCost = Math.max(1, multiplyAdds(large) / coarsest(large));
    return {
      session: session(view, graph, { ends, pixelCost }),
      geometry: { ...geometry, kind, offset: effectiveOffset(graph, CLASS_MAP, net.kernelCentres ?? new Map()) },
      tiling: sizeStep > 1 || seesEverything(graph, CLASS_MAP) ? undefined : { ...geometry, alignment: own },
      mapSize: mapSizer(graph),
      multiplyAdds,
      peakBytes,
      pixelCost,
      check,
    };
  }

  const made = new Map<string, DenseView>();
  return {
    poolsGlobally: net.poolsGlobally,
    minimumSize,
    sizeStep,
    outputStrides,
    edges,
    kinds,
    check,
    view({ map = kind, outputStride = own, edge = 'valid' } = {}) {
      if (!kinds.includes(map)) throw unsupported(name, 'map', map, kinds);
      if (map === 'cells' && cells !== undefined) return cells.view({ outputStride, edge });
      if (!outputStrides.includes(outputStride)) throw unsupported(name, 'outputStride', outputStride, outputStrides);
      if (!edges.includes(edge)) throw unsupported(name, 'edge', edge, edges);
      const key = `${outputStride} ${pads === undefined ? 'valid' : edge}`;
      const view = made.get(key) ?? make(outputStride, edge);
      made.set(key, view);
      return map === kind ? view : { ...view, geometry: { ...view.geometry, kind: map } };
    },
  };
}

function unsupported(name: string, parameter: string, asked: string | number, has: readonly unknown[]): ServiceError {
  return new ServiceError('OUTPUT_UNSUPPORTED', `${name} has no class map with ${parameter}=${asked}.`, {
    errors: [{ parameter, detail: `must be ${has.length === 1 ? String(has[0]) : `one of: ${has.join(', ')}`}` }],
  });
}

function mapSizer(graph: Graph): (input: Size) => Size {
  return memoizeBySize((input) => {
    const [, , height = 0, width = 0] = shapesFor(graph, input).get(CLASS_MAP) ?? [];
    return { width, height };
  });
}

function multiplyAddCounter(graph: Graph): (input: Size) => number {
  return memoizeBySize((input) => countMultiplyAdds(graph, shapesFor(graph, input)));
}

/** Of one image, and where classes are asked for, of one. */
function shapesFor(graph: Graph, { width, height }: Size): ReadonlyMap<string, readonly number[]> {
  const { [CLASSES_INPUT]: classes, ...images } = imageShapes(graph, { batch: 1, width, height });
  return inferShapes(graph, classes === undefined ? images : { ...images, [CLASSES_INPUT]: [1, 1] });
}

/**
 * The smallest square with one cell, by bisection over multiples of `step`: the native size has one, and a larger input never has
 * fewer.
 */
function smallestSide({ width, height }: Size, step: number, mapSize: (input: Size) => Size): number {
  let without = 0;
  let withCell = Math.ceil(Math.max(width, height) / step);
  while (withCell - without > 1) {
    const steps = Math.floor((without + withCell) / 2);
    const side = steps * step;
    const size = mapSize({ width: side, height: side });
    if (Math.min(size.width, size.height) >= 1) withCell = steps;
    else without = steps;
  }
  return withCell * step;
}
