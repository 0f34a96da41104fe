/** Small nets in memory, with generated weights inline. */
import { buildArchitecture } from '../../src/architectures/index.js';
import { graphBuilder, type GraphBuilder } from '../../src/graph/build.js';
import type { Dim, Graph, ValueInfo } from '../../src/graph/graph.js';
import { withGeneratedWeights } from './ort.js';

export const CLASSES = 7;

/** Native 64, fully connected head over 4×4 cells, output stride 16. */
export function tinyVgg(): Graph {
  const options = { classes: CLASSES, width: 4, hidden: 12, poolings: 4, inputSize: 64 };
  return withGeneratedWeights(buildArchitecture('vgg11_bn', options));
}

/** Global average pooling, output stride 16. */
export function tinyResNet(): Graph {
  return withGeneratedWeights(buildArchitecture('resnet18', { classes: CLASSES, width: 4, stem: 'compact' }));
}

/** A graph of one float32 input `x`; `make` adds nodes and returns the outputs. */
export function graphOf(dims: readonly Dim[], make: (builder: GraphBuilder, x: string) => ValueInfo[] | string): Graph {
  const builder = graphBuilder({ name: 'test' });
  const made = make(builder, builder.input('x', 'float32', dims));
  const outputs = typeof made === 'string' ? [output(made)] : made;
  return withGeneratedWeights(builder.finish(outputs));
}

/** An output whose dimensions nobody declares; `rank` free sizes. */
export function output(name: string, rank = 4, dataType: ValueInfo['dataType'] = 'float32'): ValueInfo {
  return { name, dataType, dims: Array.from({ length: rank }, (_, axis) => `${name}.${axis}`) };
}
