/**
 * Bind the weights of a file to the parameters of an unbound graph.
 *
 *   Before: parameters whose data is `unbound`
 *   After:  the same parameters, their data external: file, offset, length; nothing is read or copied
 *
 * Preconditions: the pass runs right after the builder, while the dimensions are still the file's; every unbound
 * parameter has a tensor with its name (or the name that `nameOf` gives), a floating-point type and its dimensions.
 * [out, in] and [out, c, k, k] with in = c·k·k count as the same, because a fully connected layer is a convolution over
 * its whole input. Tensors without a parameter are ignored (num_batches_tracked). No match where nothing is unbound.
 */
import { elementCount } from '../../tensor.js';
import type { DataType, Graph, Initializer } from '../graph.js';
import { GraphError } from '../graph-error.js';
import type { Pass } from '../pass.js';
import { mapInitializers } from '../rewrite.js';

/** Where a tensor's bytes are in a weights file. */
export interface StoredTensor {
  readonly dataType: DataType;
  readonly dims: readonly number[];
  /** From the start of the file, in bytes. */
  readonly offset: number;
  readonly length: number;
}

export interface WeightSource {
  /** Relative to the model's folder. */
  readonly file: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** A parameter's name in the file. Default: the parameter's own. */
  readonly nameOf?: (parameter: string) => string;
}

const FLOATING: readonly DataType[] = ['float16', 'float32', 'float64'];

/** The pass. It throws GraphError naming the tensor that is missing or does not fit, with both shapes. */
export function bindWeights(source: WeightSource): Pass {
  return { name: 'bind-weights', apply: (graph) => bind(graph, source) };
}

function bind(graph: Graph, source: WeightSource): Graph {
  return mapInitializers(graph, (initializer) =>
    initializer.data.kind === 'unbound' ? bindOne(initializer, source) : initializer,
  );
}

function bindOne(parameter: Initializer, { file, tensors, nameOf }: WeightSource): Initializer {
  const { dataType, dims } = parameter;
  const name = nameOf?.(parameter.name) ?? parameter.name;
  const expected = `[${dims.join(', ')}]`;
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new GraphError(`${file}: tensor "${name}" ${expected} is missing`);
  if (!areSameLayer(tensor.dims, dims)) {
    throw new GraphError(`${file}: tensor "${name}" must be ${expected}, is [${tensor.dims.join(', ')}]`);
  }
  if (!FLOATING.includes(tensor.dataType)) {
    throw new GraphError(`${file}: tensor "${name}" must hold floating-point numbers, holds ${tensor.dataType}`);
  }
  const { offset, length } = tensor;
  const storedAs = tensor.dataType === dataType ? {} : { storedAs: tensor.dataType };
  return { ...parameter, data: { kind: 'external', file, offset, length, ...storedAs } };
}

/** Whether two shapes are equal, or one is the fully connected form of the other. */
export function areSameLayer(a: readonly number[], b: readonly number[]): boolean {
  if (a.length === b.length) return a.every((size, axis) => size === b[axis]);
  const isBoth = [a, b].every(({ length }) => length === 2 || length === 4);
  return isBoth && a[0] === b[0] && elementCount(a) === elementCount(b);
}
