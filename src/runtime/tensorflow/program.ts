/**
 * A graph as a list of kernels. Opening it computes everything that does not depend on the image once (weights restored
 * from how they are stored, batch normalization folded into convolutions, kernels transposed) and uploads what is left;
 * a run calls one kernel after the other and frees each tensor after its last reader.
 *
 * Invariants: a run leaves no tensor behind but its outputs, whether it succeeds or not; sizes (Shape and values
 * computed from it) never become tensors if only shapes are made of them.
 */
import { attribute } from '../../graph/attributes.js';
import type { Graph, Node } from '../../graph/graph.js';
import { GraphError, nodeError } from '../../graph/graph-error.js';
import { dataTypeOf } from '../../graph/onnx/data-types.js';
import { OPERATOR_FACTS } from '../../graph/operators.js';
import { applyWhereMatching, type Pass } from '../../graph/pass.js';
import { foldBatchNorm } from '../../graph/passes/fold-batch-norm.js';
import { liftConstants } from '../../graph/passes/lift-constants.js';
import { prune } from '../../graph/rewrite.js';
import type { Known } from '../../graph/shape-rules.js';
import { inferNode, knownInitializers, knownInputs } from '../../graph/shapes.js';
import { fuseRelu } from './fuse-relu.js';
import type { Kernel, Run } from './operator.js';
import { LEFT_OUT, OPERATORS } from './operators/index.js';
import { inGraphOrder, type Tensor, type TensorFlow, type Value } from './tensors.js';
import { readWeights } from './weights.js';

export interface Program {
  /**
   * The outputs of one run, in the graph's order. The caller owns the outputs and the inputs and disposes of both.
   * Throws GraphError for inputs of shapes that the graph does not take.
   */
  readonly run: (inputs: ReadonlyMap<string, Tensor>) => ReadonlyMap<string, Tensor>;
  /** Free the weights. */
  readonly release: () => void;
}

interface Step {
  readonly node: Node;
  readonly kernel: Kernel;
  /** Values that no later step reads. */
  readonly lastReads: readonly string[];
}

type KnownMap = ReadonlyMap<string, Known>;

/**
 * The number of input shapes, those used last, whose sizes are kept. A server sees a few shapes again and again, and
 * their sizes take a millisecond to infer.
 */
const KEPT_SHAPES = 16;

/** Throws GraphError naming the first node without a kernel, or the weight that cannot be read. */
export function compileProgram(tf: TensorFlow, given: Graph, weightsFolder: string | undefined): Program {
  const graph = withoutUnread(prepare(given));
  refuseUnknown(graph);
  const constants = createConstants(tf, graph, weightsFolder);
  try {
    const steps = compileSteps(tf, graph, constants);
    return createProgram(tf, graph, steps, constants);
  } catch (error) {
    constants.release();
    throw error;
  }
}

const PASSES: readonly Pass[] = [liftConstants(), foldBatchNorm(), fuseRelu()];

function prepare(graph: Graph): Graph {
  return prune(applyWhereMatching(graph, PASSES));
}

/** The graph without the names of outputs that nobody reads: kernels need not compute these. */
function withoutUnread(graph: Graph): Graph {
  const read = new Set([...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ name }) => name)]);
  const nodes = graph.nodes.map((node) => ({
    ...node,
    outputs: node.outputs.map((name) => (read.has(name) ? name : '')),
  }));
  return { ...graph, nodes };
}

function refuseUnknown({ nodes }: Graph): void {
  const unknown = nodes.find(({ op }) => !OPERATORS.has(op));
  if (unknown === undefined) return;
  throw nodeError(unknown, LEFT_OUT[unknown.op] ?? 'the tensorflow engine has no such operator');
}

// ---- constants ---------------------------------------------------------------------------------------------------

/** Values that do not depend on the inputs, as tensors made when they are first asked for. */
interface Constants {
  /** What is known of them without reading them. */
  readonly known: Map<string, Known>;
  has(name: string): boolean;
  get(name: string): Tensor;
  /** Set the tensor of a known value; the constants own it from then on. */
  set(name: string, tensor: Tensor): void;
  isFloat(name: string): boolean;
  forget(name: string): void;
  /** Keep any other tensor until `release`. */
  keep<T extends Tensor>(tensor: T): T;
  release(): void;
}

function createConstants(tf: TensorFlow, graph: Graph, folder: string | undefined): Constants {
  const known = new Map(knownInitializers(graph));
  const tensors = new Map<string, Tensor>();
  const others: Tensor[] = [];

  function make(name: string): Tensor {
    const initializer = graph.initializers.get(name);
    if (initializer === undefined) return sizesTensor(tf, known.get(name)!);
    const { data, dims, type } = readWeights(initializer, folder);
    return tf.tensor(data, [...dims], type);
  }

  return {
    known,
    has: (name) => known.has(name),
    isFloat(name) {
      return graph.initializers.get(name)?.dataType.startsWith('float') ?? tensors.get(name)?.dtype === 'float32';
    },
    get(name) {
      const found = tensors.get(name);
      if (found !== undefined) return found;
      const tensor = tf.keep(make(name));
      tensors.set(name, tensor);
      return tensor;
    },
    set: (name, tensor) => void tensors.set(name, tf.keep(tensor)),
    forget(name) {
      tensors.get(name)?.dispose();
      tensors.delete(name);
    },
    keep(tensor) {
      others.push(tf.keep(tensor));
      return tensor;
    },
    release() {
      tf.dispose([...tensors.values(), ...others]);
      tensors.clear();
      others.length = 0;
    },
  };
}

// ---- opening -----------------------------------------------------------------------------------------------------

function compileSteps(tf: TensorFlow, graph: Graph, constants: Constants): Step[] {
  const isSize = sizesOf(graph);
  const isOutput = new Set(graph.outputs.map(({ name }) => name));
  const lastReader = new Map(graph.nodes.flatMap((node) => node.inputs.map((name) => [name, node] as const)));
  /** Constants that a kernel reads when it runs. */
  const runtimeReads = new Set<string>(isOutput);
  const steps: Step[] = [];
  for (const node of graph.nodes) {
    const taken = new Set<string>();
    const kernel = compileNode(tf, graph, node, constants, taken);
    const isConstant = node.inputs.every((name) => name === '' || constants.has(name));
    if (isConstant) {
      inferNode(node, constants.known);
      node.inputs.forEach((name) => taken.add(name));
      if (!node.outputs.every((name) => isSize.has(name) && constants.known.get(name)?.values)) {
        evaluate(tf, node, kernel, constants);
      }
    } else {
      const read = node.inputs.filter((name) => constants.has(name) && !taken.has(name));
      // A missing file fails here and not in the first run. Integers are left out: most are parameters and never become
      // tensors.
      for (const name of read) {
        runtimeReads.add(name);
        if (constants.isFloat(name)) constants.get(name);
      }
      const lastReads = [...new Set(node.inputs)].filter(
        (name) => lastReader.get(name) === node && !isOutput.has(name) && !constants.has(name),
      );
      steps.push({ node, kernel, lastReads });
    }
    for (const name of taken) {
      if (lastReader.get(name) === node && !runtimeReads.has(name)) constants.forget(name);
    }
  }
  return steps;
}

function compileNode(tf: TensorFlow, graph: Graph, node: Node, constants: Constants, taken: Set<string>): Kernel {
  return OPERATORS.get(node.op)!({
    tf,
    node,
    opset: graph.opset,
    weight(index) {
      const name = node.inputs[index] ?? '';
      if (!constants.has(name)) return undefined;
      taken.add(name);
      return constants.get(name);
    },
    keep: (make) => constants.keep(tf.tidy(() => make())),
  });
}

/** Run a node on constants, and make its outputs constants. */
function evaluate(tf: TensorFlow, node: Node, kernel: Kernel, constants: Constants): void {
  const outputs = runKernel(tf, node, kernel, {
    ...sizesFor(node, constants.known),
    input: (index) => ({ tensor: constants.get(node.inputs[index]!), channelsLast: false }),
  });
  for (const [index, name] of node.outputs.entries()) {
    const value = outputs[index];
    if (value === undefined) continue;
    const tensor = tf.tidy(() => tf.clone(inGraphOrder(tf, value)));
    value.tensor.dispose();
    if (name === '') tensor.dispose();
    else constants.set(name, tensor);
  }
}

/** Values that are computed from sizes and integers alone: their numbers are known as soon as the shapes are. */
function sizesOf({ initializers, nodes }: Graph): ReadonlySet<string> {
  const integers = [...initializers.values()].filter(({ dataType }) => dataType === 'int64' || dataType === 'int32');
  const sizes = new Set(integers.map(({ name }) => name));
  for (const node of nodes) {
    const to = node.op === 'Cast' ? dataTypeOf(attribute(node, 'to', 'int') ?? 0) : 'int64';
    const ofSizes = node.op === 'Shape' || node.inputs.every((name) => name === '' || sizes.has(name));
    if (OPERATOR_FACTS.get(node.op)?.takesSizes && ofSizes && (to === 'int64' || to === 'int32')) {
      for (const name of node.outputs) sizes.add(name);
    }
  }
  return sizes;
}

// ---- running -----------------------------------------------------------------------------------------------------

function createProgram(tf: TensorFlow, graph: Graph, steps: readonly Step[], constants: Constants): Program {
  const isSize = sizesOf(graph);
  const knownFor = rememberShapes((shapes) => {
    const known = new Map([...constants.known, ...knownInputs(graph, shapes)]);
    for (const { node } of steps) inferNode(node, known);
    return known;
  });

  function run(inputs: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
    const known = knownFor(Object.fromEntries([...inputs].map(([name, { shape }]) => [name, shape])));
    const values = new Map<string, Value>();
    const isKnown = (name: string): boolean => isSize.has(name) && known.get(name)?.values !== undefined;
    const read = (name: string): Value => {
      const value = values.get(name);
      if (value !== undefined) return value;
      const tensor =
        inputs.get(name) ?? (constants.has(name) ? constants.get(name) : sizesTensor(tf, known.get(name)!));
      return { tensor, channelsLast: false };
    };
    try {
      for (const { node, kernel, lastReads } of steps) {
        if (!node.outputs.every((name) => name === '' || isKnown(name))) {
          const outputs = runKernel(tf, node, kernel, {
            ...sizesFor(node, known),
            input: (index) => read(node.inputs[index]!),
          });
          for (const [index, output] of outputs.entries()) {
            const name = node.outputs[index] ?? '';
            if (name === '') output.tensor.dispose();
            else values.set(name, output);
          }
        }
        for (const name of lastReads) {
          values.get(name)?.tensor.dispose();
          values.delete(name);
        }
      }
      const outputs = tf.tidy(() => graph.outputs.map(({ name }) => tf.clone(inGraphOrder(tf, read(name)))));
      return new Map(graph.outputs.map(({ name }, index) => [name, outputs[index]!]));
    } finally {
      tf.dispose([...values.values()].map(({ tensor }) => tensor));
    }
  }

  return { run, release: () => constants.release() };
}

/**
 * The outputs as tensors of their own. If a kernel passes an input on, the output shares its values but is disposed of
 * separately.
 */
function runKernel(tf: TensorFlow, node: Node, kernel: Kernel, run: Run): readonly Value[] {
  try {
    return tf.tidy(() => {
      const made = kernel(run);
      const outputs = 'tensor' in made ? [made] : made;
      return outputs.map(({ tensor, channelsLast }) => ({ tensor: tf.clone(tensor), channelsLast }));
    });
  } catch (error) {
    if (error instanceof GraphError) throw error;
    throw nodeError(node, error instanceof Error ? error.message : String(error));
  }
}

function sizesFor({ inputs, outputs }: Node, known: KnownMap): Omit<Run, 'input'> {
  return {
    inputDims: (index) => known.get(inputs[index] ?? '')!.dims,
    outputDims: (index) => known.get(outputs[index] ?? '')!.dims,
    integers: (index) => known.get(inputs[index] ?? '')?.values,
  };
}

function sizesTensor(tf: TensorFlow, { dims, values }: Known): Tensor {
  return tf.tensor(Int32Array.from(values!), [...dims], 'int32');
}

/** Remembers the sizes of the shapes seen last. */
function rememberShapes(
  infer: (shapes: Readonly<Record<string, readonly number[]>>) => KnownMap,
): (shapes: Readonly<Record<string, readonly number[]>>) => KnownMap {
  const kept = new Map<string, KnownMap>();
  return (shapes) => {
    const key = JSON.stringify(shapes);
    const known = kept.get(key) ?? infer(shapes);
    kept.delete(key);
    kept.set(key, known);
    if (kept.size > KEPT_SHAPES) kept.delete(kept.keys().next().value!);
    return known;
  };
}
