/** Cost and geometry of the architectures in their published form, derived from their graphs. */
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  countPublishedParameters,
  imageChannels,
  nativeForm,
  type ArchitectureName,
} from '../../architectures/index.js';
import { convolutionalForm } from '../../graph/convolutional-form.js';
import { countMultiplyAdds, countParameters } from '../../graph/cost.js';
import { mapGeometry, type MapGeometry } from '../../graph/geometry.js';
import type { Graph } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';
import { CLASS_MAP } from '../../graph/passes/convolutionalize-gemm.js';
import { pathLengths, type PathLengths } from '../../graph/path-lengths.js';
import { inferShapes } from '../../graph/shapes.js';

/** Without those of the class map if the net has none. */
export interface ArchitectureFigures extends Partial<MapFigures> {
  readonly name: ArchitectureName;
  /** Parameters of the classifier as it runs. */
  readonly parameters: number;
  /** Parameters including an auxiliary classifier that is used in training only. */
  readonly publishedParameters: number;
  /** Native side in pixels. */
  readonly inputSize: number;
  readonly classes: number;
  /** Multiply-adds of the classifier for one image of the native size. */
  readonly multiplyAdds: number;
  /** Layers from the image to the logits. */
  readonly paths: PathLengths;
}

export interface MapFigures extends MapGeometry {
  /** Cells of the class map along one side, at the native size. */
  readonly cells: number;
}

/** Figures of one architecture. */
export function architectureFigures(name: ArchitectureName): ArchitectureFigures {
  const { inputSize, classes } = nativeForm(name);
  const graph = buildArchitecture(name);
  const input = [1, imageChannels(name), inputSize, inputSize];
  return {
    name,
    parameters: countParameters(graph),
    publishedParameters: countPublishedParameters(name),
    inputSize,
    classes,
    multiplyAdds: countMultiplyAdds(graph, inferShapes(graph, { input })),
    paths: pathLengths(graph),
    ...mapFigures(graph, input),
  };
}

/** Undefined for a net whose map has no geometry. */
function mapFigures(graph: Graph, input: readonly number[]): MapFigures | undefined {
  const side = input.at(-1)!;
  const dense = convolutionalForm(graph, side).graph;
  try {
    return { ...mapGeometry(dense, CLASS_MAP), cells: inferShapes(dense, { input }).get(CLASS_MAP)![2]! };
  } catch (error) {
    if (error instanceof GraphError) return undefined;
    throw error;
  }
}

/** Figures of all architectures, family by family. */
export function allArchitectureFigures(): ArchitectureFigures[] {
  return ARCHITECTURE_NAMES.map(architectureFigures);
}
