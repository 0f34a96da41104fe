/**
 * Gathers the constants of a graph as numbers: initializers of any storage, type and order, and values computed from
 * them alone. An engine reads and computes them, as it would at load.
 */
import type { Graph, Initializer } from '../../graph/graph.js';
import { writeOnnx } from '../../graph/onnx/model.js';
import { prune } from '../../graph/rewrite.js';
import { inferShapes } from '../../graph/shapes.js';
import type { SessionSpec } from '../../runtime/session.js';
import { expectTensor, type TensorMap } from '../../tensor.js';

/** Runs a graph without inputs. */
export interface ConstantRunner {
  open(spec: SessionSpec): Promise<unknown>;
  close(id: string): Promise<void>;
  /** Run an open session as it is, without adding a batch axis. */
  run(id: string, feeds: TensorMap): Promise<{ readonly outputs: TensorMap }>;
}

const SESSION = 'constants';

/** The graph with all float32 constants that its nodes read stored inline, and without the nodes that computed them. */
export async function gatherWeights(graph: Graph, weightsFolder: string, runner: ConstantRunner): Promise<Graph> {
  const constant = new Set(graph.initializers.keys());
  const makers = graph.nodes.filter(({ inputs, outputs }) => {
    const isConstant = inputs.length > 0 && inputs.every((name) => name === '' || constant.has(name));
    if (isConstant) for (const name of outputs) constant.add(name);
    return isConstant;
  });
  const rest = graph.nodes.filter((node) => !makers.includes(node));
  const isFloat = (name: string): boolean => (graph.initializers.get(name)?.dataType ?? 'float32') === 'float32';
  const wanted = [...new Set(rest.flatMap(({ inputs }) => inputs))].filter(
    (name) => constant.has(name) && isFloat(name),
  );
  if (wanted.length === 0) return graph;

  const values = await valuesOf({ ...graph, inputs: [], nodes: makers }, wanted, weightsFolder, runner);
  const initializers = new Map<string, Initializer>([...graph.initializers, ...values]);
  return prune({ ...graph, nodes: rest, initializers });
}

async function valuesOf(
  graph: Graph,
  names: readonly string[],
  weightsFolder: string,
  runner: ConstantRunner,
): Promise<[string, Initializer][]> {
  const shapes = inferShapes(graph, {});
  const outputs = names.map((name) => ({
    name: `${name}.value`,
    dataType: 'float32' as const,
    dims: shapes.get(name)!,
  }));
  const copies = names.map((name, index) => ({
    op: 'Identity',
    name: outputs[index]!.name,
    inputs: [name],
    outputs: [outputs[index]!.name],
    attributes: {},
  }));
  const model = writeOnnx(prune({ ...graph, nodes: [...graph.nodes, ...copies], outputs }));
  await runner.open({ id: SESSION, model, weightsFolder });
  try {
    const ran = await runner.run(SESSION, {});
    return names.map((name, index) => {
      const { dims, data } = expectTensor(ran.outputs, outputs[index]!.name, 'float32');
      const bytes = new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
      return [name, { name, dataType: 'float32', dims, data: { kind: 'inline', bytes } }];
    });
  } finally {
    await runner.close(SESSION);
  }
}
