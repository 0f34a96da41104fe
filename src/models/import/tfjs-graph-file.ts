/**
 * A GraphModel of TensorFlow.js → ONNX. Its operators become ours one by one (tfjs-operators.ts), its constants
 * parameters in the order that the graph has them (tfjs-values.ts); large ones are written to a file beside the graph,
 * one in memory at a time. What makes a classifier of the result is the same as for every ONNX file.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { graphBuilder, type GraphBuilder } from '../../graph/build.js';
import { inlineConstant } from '../../graph/constants.js';
import type { Dim, Graph, Initializer } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';
import { imageShapes } from '../../graph/native-shapes.js';
import { writeOnnx } from '../../graph/onnx/model.js';
import { applyPass } from '../../graph/pass.js';
import { bindWeights } from '../../graph/passes/bind-weights.js';
import { inferKnownShapes } from '../../graph/shapes.js';
import { transposeValues } from '../../graph/weights.js';
import { elementCount } from '../../tensor.js';
import { explain } from '../files/model-file-error.js';
import { readSafetensors, writeSafetensors, type WritableTensor } from '../files/safetensors.js';
import { readTfjsGraphFile, type TfjsWeight } from '../files/tfjs-file.js';
import { ONNX } from '../manifest.js';
import type { Converter } from './conversion.js';
import { parseOutput, readTfNodes, type TfNode, type TfOutput } from './tfjs-nodes.js';
import { CONTROL_FLOW, TF_OPERATORS } from './tfjs-operators.js';
import { TfTools, type TfParameter, type TfShared, type TfValue } from './tfjs-values.js';

const GRAPH_FILE = 'model.onnx';
const WEIGHTS_FILE = 'weights.safetensors';

/** Constants of at most so many numbers may be sizes, axes or bounds, and lie in the graph itself. */
const SMALL = 256;

/** Side in pixels at which shapes are inferred if the model takes any size. */
const ANY_SIDE = 224;

type Weights = ReadonlyMap<string, TfjsWeight>;

/** Convert on this thread. Throws ModelFileError naming the node and its operator, or the field of the JSON file. */
export const convertTfjsGraphFile: Converter = async (file, folder) => {
  const { nodes: listed, signature, weights } = await readTfjsGraphFile(file);
  return explain(file, async () => {
    const small = await readSmall(weights);
    const outputsOf = (nodes: ReadonlyMap<string, TfNode>): readonly string[] => findOutputs(nodes, signature);
    const { nodes, outputs } = readTfNodes(listed, outputsOf);
    const { graph, parameters } = buildGraph(nodes, outputs, { weights, small });
    const { size, classes } = figuresOf(graph);

    const inlined = inlineSmall(graph, parameters, small);
    const isLarge = ({ name }: TfParameter): boolean => inlined.initializers.get(name)?.data.kind === 'unbound';
    await writeSafetensors(
      join(folder, WEIGHTS_FILE),
      parameters.filter(isLarge).map((parameter) => tensorOf(parameter, weights)),
    );
    const { tensors } = await readSafetensors(join(folder, WEIGHTS_FILE));
    const bound = applyPass(inlined, bindWeights({ file: WEIGHTS_FILE, tensors })) ?? inlined;
    await writeFile(join(folder, GRAPH_FILE), writeOnnx(bound));
    return {
      model: { architecture: ONNX, weights: { file: GRAPH_FILE } },
      ...(classes === undefined ? {} : { classes }),
      input: size === undefined ? {} : { size },
      notes: [`A GraphModel of TensorFlow.js with ${nodes.length} nodes.`],
    };
  });
};

async function readSmall(weights: Weights): Promise<ReadonlyMap<string, readonly number[]>> {
  const small = new Map<string, readonly number[]>();
  for (const [name, weight] of weights) {
    if (elementCount(weight.dims) <= SMALL) small.set(name, Array.from(await weight.read()));
  }
  return small;
}

const named = z.object({ name: z.string() });

/** The nodes of the outputs that the signature names, or else those that no other node reads. */
function findOutputs(nodes: ReadonlyMap<string, TfNode>, signature: unknown): readonly string[] {
  const { outputs } =
    z.looseObject({ outputs: z.record(z.string(), z.unknown()).nullish() }).safeParse(signature).data ?? {};
  const signed = Object.values(outputs ?? {}).flatMap((entry) => named.safeParse(entry).data?.name ?? []);
  const found = [...new Set(signed.map((name) => parseOutput(name).node))].filter((name) => nodes.has(name));
  if (found.length > 0) return found;
  const read = new Set([...nodes.values()].flatMap(({ inputs }) => inputs.map(({ node }) => node)));
  const isResult = ({ name, op }: TfNode): boolean =>
    !read.has(name) && !['Const', 'NoOp', 'Assert', 'Placeholder'].includes(op);
  const last = [...nodes.values()].filter(isResult).map(({ name }) => name);
  if (last.length === 0) throw new GraphError('modelTopology.node: has no output');
  return last;
}

interface Constants {
  readonly weights: Weights;
  readonly small: ReadonlyMap<string, readonly number[]>;
}

function buildGraph(
  nodes: readonly TfNode[],
  outputs: readonly string[],
  constants: Constants,
): { readonly graph: Graph; readonly parameters: readonly TfParameter[] } {
  const builder = graphBuilder({ name: 'model' });
  const shared: TfShared = { builder, parameters: new Map(), lengths: new Map(), origins: new Map() };
  const results = new Map<string, readonly TfValue[]>();
  const valueOf = (reader: TfNode, { node, index }: TfOutput): TfValue => {
    const value = results.get(node)?.[index];
    if (value === undefined) throw reader.fail(`reads the output ${index} of "${node}", which there is not`);
    return value;
  };
  for (const node of nodes) {
    const inputs = node.inputs.map((input) => valueOf(node, input));
    results.set(node.name, compute(node, inputs, new TfTools(shared, node), constants));
  }
  const values = outputs.map((name) => {
    const node = nodes.find((other) => other.name === name)!;
    return new TfTools(shared, node).materialized(valueOf(node, { node: name, index: 0 }));
  });
  const unique = new Map(values.map((value) => [value.name, value]));
  const graph = builder.finish(
    [...unique.values()].map(({ name, rank, type }) => ({
      name,
      dataType: type,
      dims: Array.from({ length: rank }, (_, axis): Dim => (axis === 0 ? 'N' : `${name}.${axis}`)),
    })),
  );
  return { graph, parameters: [...shared.parameters.values()] };
}

function compute(node: TfNode, inputs: readonly TfValue[], tools: TfTools, constants: Constants): readonly TfValue[] {
  switch (node.op) {
    case 'Const':
    case 'VarHandleOp':
      return [constantOf(node, constants)];
    case 'Placeholder':
      return [declareInput(tools.builder, node, tools)];
    case 'PlaceholderWithDefault':
      return inputs.slice(0, 1);
  }
  const operator = TF_OPERATORS.get(node.op);
  if (operator !== undefined) return operator(tools, inputs);
  throw node.fail(
    CONTROL_FLOW.test(node.op)
      ? 'chooses at run time what is computed; control flow cannot be read'
      : 'this operator cannot be read',
  );
}

function constantOf(node: TfNode, { weights, small }: Constants): TfValue {
  const weight = weights.get(node.name);
  if (weight === undefined) throw node.fail('its value is not among the weights');
  const { dims, dtype } = weight;
  const values = small.get(node.name);
  const constant = { weight: node.name, dims, ...(values === undefined ? {} : { values }) };
  return { name: '', rank: dims.length, type: dtype === 'float32' ? 'float32' : 'int64', constant };
}

/**
 * An image [N, H, W, 3] becomes [N, 3, H, W]. One that has channels first already, as nets that come from other
 * frameworks do, stays.
 */
function declareInput(builder: GraphBuilder, node: TfNode, tools: TfTools): TfValue {
  const type = node.attributes.type('dtype', 'DT_FLOAT');
  if (type !== 'DT_FLOAT') throw node.fail(`takes ${type.slice(0, 20)}, not floating-point numbers`);
  const shape = node.attributes.shape('shape') ?? [-1, -1, -1, 3];
  const dimOf = (size: number | undefined, free: string): Dim => (size !== undefined && size > 0 ? size : free);
  if (shape.length !== 4) {
    const dims = shape.map((size, axis): Dim => (axis === 0 ? 'N' : dimOf(size, `D${axis}`)));
    return { name: builder.input(node.name, 'float32', dims), rank: shape.length, type: 'float32' };
  }
  const [, a, b, c] = shape;
  if (a === 3 && c !== 3) {
    const name = builder.input(node.name, 'float32', ['N', 3, dimOf(b, 'H'), dimOf(c, 'W')]);
    return tools.fromLast(name, 4, 'float32');
  }
  const dims: Dim[] = ['N', dimOf(c, 'C'), dimOf(a, 'H'), dimOf(b, 'W')];
  return { name: builder.input(node.name, 'float32', dims), rank: 4, type: 'float32' };
}

function figuresOf(graph: Graph): { readonly classes: number | undefined; readonly size: number | undefined } {
  const [input, ...others] = graph.inputs;
  if (input === undefined || others.length > 0) {
    throw new GraphError(`modelTopology.node: has ${graph.inputs.length} inputs; a classifier of images has one`);
  }
  const [, , height, width] = input.dims;
  const size = typeof height === 'number' && height === width ? height : undefined;
  const given = imageShapes(graph, { batch: 1, height: size ?? ANY_SIDE, width: size ?? ANY_SIDE });
  const shapes = inferKnownShapes(graph, given);
  const [first] = graph.outputs;
  const output = shapes.get(first!.name);
  return { classes: output === undefined ? undefined : elementCount(output.slice(1)), size };
}

/** The graph with its small parameters as constants. */
function inlineSmall(
  graph: Graph,
  parameters: readonly TfParameter[],
  small: ReadonlyMap<string, readonly number[]>,
): Graph {
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  const initializers = [...graph.initializers].map(([name, initializer]): [string, Initializer] => {
    const parameter = byName.get(name);
    const values = parameter && small.get(parameter.weight);
    if (parameter === undefined || values === undefined) return [name, initializer];
    return [name, inlineConstant(name, 'float32', parameter.dims, arranged(Float32Array.from(values), parameter))];
  });
  return { ...graph, initializers: new Map(initializers) };
}

function tensorOf(parameter: TfParameter, weights: Weights): WritableTensor {
  const { name, dims, weight } = parameter;
  return { name, dims, values: async () => arranged(await weights.get(weight)!.read(), parameter) };
}

/** The values of a weight in the order of the parameter. */
function arranged(values: Float32Array<ArrayBuffer>, { stored, perm }: TfParameter): Float32Array<ArrayBuffer> {
  return perm === undefined ? values : transposeValues(values, stored, perm);
}
