/**
 * Builds a graph with unbound parameters from a Keras model: its layers are called one after the other, with channels
 * first. Nested models are called in place, so the graph is flat. Each parameter names its weight in the file.
 */
import { z } from 'zod';
import { graphBuilder, type GraphBuilder } from '../../graph/build.js';
import type { Dim, Graph } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';
import type { LayerTools, Value, Weight } from './layer.js';
import { LAYER_CLASSES } from './layer-classes.js';
import { declaredShape, INPUT_LAYER, type KerasLayer, type KerasModel } from './topology.js';
import { weightFinder, type WeightFinder } from './weight-names.js';

export interface KerasGraph {
  /** Inputs are float32 [N, C, H, W]. */
  readonly graph: Graph;
  readonly parameters: readonly KerasParameter[];
}

/** A parameter of the graph. Its name is that of the weight in the file that holds its values. */
export interface KerasParameter {
  readonly name: string;
  readonly dims: readonly number[];
  /** Permutation of axes that turns the weight into the parameter, row-major; absent if they have the same order. */
  readonly perm?: readonly number[];
}

export interface KerasWeights {
  /** Dimensions by weight name. */
  readonly dims: ReadonlyMap<string, readonly number[]>;
  /** Major version of the Keras that wrote the model. */
  readonly keras: number;
}

/**
 * Limit for calls of layers plus values that they read, counted anew for each call of a nested model. The deepest
 * published nets have a few thousand.
 */
const MAX_CALLS = 20_000;

/** Build the graph. Throws GraphError naming the layer, and its class if that is unknown. */
export function buildKerasGraph(model: KerasModel, { dims, keras }: KerasWeights): KerasGraph {
  const builder = graphBuilder({ name: model.name });
  const parameters = new Map<string, KerasParameter>();
  const owners = new Map<string, KerasLayer>();
  const finder = weightFinder(dims);
  let calls = 0;

  /** Call a model on `inputs`; returns all its results. */
  function run(called: KerasModel, path: readonly string[], inputs: readonly Value[]): Value[] {
    const results = new Map<string, (readonly Value[])[]>();
    const valueOf = ({ layer, call, tensor }: KerasModel['outputs'][number]): Value => {
      const value = results.get(layer)?.[call]?.[tensor];
      if (value === undefined) throw new GraphError(`layer "${[...path, layer].join('/')}": has no result ${tensor}`);
      return value;
    };
    for (const { layer, index, inputs: refs } of called.calls) {
      count(1 + refs.length);
      const given = called.inputs.findIndex((input) => input.layer === layer.name);
      const isInput = layer.className === INPUT_LAYER;
      const value = isInput ? inputOf(layer, path, inputs[given]) : call(layer, path, refs.map(valueOf));
      const known = results.get(layer.name) ?? [];
      known[index] = value;
      results.set(layer.name, known);
    }
    count(called.outputs.length);
    return called.outputs.map(valueOf);
  }

  function count(more: number): void {
    calls += more;
    if (calls > MAX_CALLS) throw new GraphError(`modelTopology: has more than ${MAX_CALLS} calls of layers and inputs`);
  }

  function inputOf(layer: KerasLayer, path: readonly string[], given: Value | undefined): Value[] {
    if (path.length === 0) return [declareInput(builder, layer)];
    if (given === undefined) throw new GraphError(`layer "${path.join('/')}": its input "${layer.name}" is not given`);
    return [given];
  }

  function call(layer: KerasLayer, parents: readonly string[], inputs: readonly Value[]): Value[] {
    const path = [...parents, layer.name];
    if (layer.model !== undefined) return run(layer.model, path, inputs);
    const layerClass = LAYER_CLASSES.get(layer.className);
    if (layerClass === undefined) throw layerError(path, layer, '', 'layers of this class cannot be read');
    const owner = owners.get(path.join('/')) ?? layer;
    if (owner !== layer) throw layerError(path, layer, 'name', 'belongs to another layer too');
    owners.set(path.join('/'), layer);
    return [layerClass(layer.config, toolsFor({ builder, finder, parameters, keras }, path, layer), inputs)];
  }

  const outputs = run(model, [], []);
  const unique = new Map(outputs.map((output) => [output.name, output]));
  const graph = builder.finish(
    [...unique.values()].map(({ name, rank }) => ({
      name,
      dataType: 'float32',
      dims: Array.from({ length: rank }, (_, axis): Dim => (axis === 0 ? 'N' : `${name}.${axis}`)),
    })),
  );
  return { graph, parameters: [...parameters.values()] };
}

interface Surroundings {
  readonly builder: GraphBuilder;
  readonly finder: WeightFinder;
  readonly parameters: Map<string, KerasParameter>;
  readonly keras: number;
}

function toolsFor(
  { builder, finder, parameters, keras }: Surroundings,
  path: readonly string[],
  layer: KerasLayer,
): LayerTools {
  const name = path.join('/');
  const fail = (field: string, detail: string): GraphError => layerError(path, layer, field, detail);
  const find = (weights: readonly string[]): Weight | undefined =>
    weights.map((weight) => finder.find(path, weight)).find((found) => found !== undefined);
  return {
    keras,
    node: (op, inputs, attributes = {}) =>
      builder.node(op, inputs, { name: `${name}.${op.toLowerCase()}`, attributes }),
    constant: (dataType, dims, values) => builder.constant(`${name}.constant`, dataType, dims, values),
    weight(rank, ...weights) {
      const weight = find(weights);
      if (weight === undefined) throw fail(weights[0]!, 'the weight is missing');
      if (weight.dims.length !== rank) throw fail(weights[0]!, `is [${weight.dims.join(', ')}], not of rank ${rank}`);
      return weight;
    },
    parameter(weight, dims, perm) {
      const known = parameters.get(weight.name);
      if (known !== undefined && (known.dims.join() !== dims.join() || known.perm?.join() !== perm?.join())) {
        throw fail('inbound_nodes', 'is called on values of different rank');
      }
      if (known !== undefined) return known.name;
      parameters.set(weight.name, { name: weight.name, dims, ...(perm === undefined ? {} : { perm }) });
      return builder.parameter(weight.name, dims);
    },
    fail,
  };
}

function layerError(path: readonly string[], { className }: KerasLayer, field: string, detail: string): GraphError {
  return new GraphError(`layer "${path.join('/')}" (${className}): ${field === '' ? '' : `${field} `}${detail}`);
}

const imageShape = z.array(z.number().int().positive().nullable()).min(1);

/** Declare an input of the graph: Keras's [N, H, W, C], where null means any size, becomes [N, C, H, W]. */
function declareInput(builder: GraphBuilder, layer: KerasLayer): Value {
  const declared = imageShape.safeParse(declaredShape(layer.config) ?? [null, null, null, null]);
  if (!declared.success) throw layerError([layer.name], layer, 'batch_input_shape', 'is not a list of sizes');
  const { data: shape } = declared;
  const [, ...sizes] = shape;
  const [height, width, channels] = sizes;
  const isMap = sizes.length === 3;
  const dims = isMap ? [channels ?? 'C', height ?? 'H', width ?? 'W'] : sizes.map((size, axis) => size ?? `D${axis}`);
  return { name: builder.input(layer.name, 'float32', ['N', ...dims]), rank: shape.length };
}
