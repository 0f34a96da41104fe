/**
 * Checks the invariants of a graph (graph.ts). Every graph that is read or written (onnx/model.ts), or that a pass
 * returns (pass.ts), is checked here, so all other code may rely on the invariants.
 */
import { elementCount } from '../tensor.js';
import { byteSize } from './constants.js';
import type { Arrangement, Graph, Initializer, Node, Quantization } from './graph.js';
import { GraphError, nodeError } from './graph-error.js';
import { producersOf } from './rewrite.js';

/** Throws GraphError naming the first node, tensor or value that breaks an invariant. */
export function verifyGraph(graph: Graph): void {
  const defined = new Set<string>();
  const define = (name: string, by: string): void => {
    if (name === '') throw new GraphError(`${by} defines a value without a name`);
    if (defined.has(name)) throw new GraphError(`${by} defines the value "${name}" a second time`);
    defined.add(name);
  };

  for (const input of graph.inputs) define(input.name, `graph "${graph.name}"`);
  for (const [key, initializer] of graph.initializers) {
    if (key !== initializer.name) throw new GraphError(`initializer "${initializer.name}" is filed under "${key}"`);
    define(key, `initializer "${key}"`);
    verifyTensor(initializer);
  }

  const producers = producersOf(graph);
  const nodeNames = new Set<string>();
  for (const node of graph.nodes) {
    if (node.name === '' || nodeNames.has(node.name)) throw nodeError(node, 'its name is empty or taken');
    nodeNames.add(node.name);
    for (const input of node.inputs) {
      if (input !== '' && !defined.has(input)) throw undefinedUse(node, input, producers.get(input));
    }
    for (const output of node.outputs) if (output !== '') define(output, `node "${node.name}"`);
    for (const value of Object.values(node.attributes)) if (value.type === 'tensor') verifyTensor(value.value);
  }

  const outputs = new Set<string>();
  for (const { name } of graph.outputs) {
    if (!defined.has(name)) throw new GraphError(`the output "${name}" is not produced`);
    if (outputs.has(name)) throw new GraphError(`the output "${name}" is declared twice`);
    outputs.add(name);
  }
  if (outputs.size === 0) throw new GraphError(`graph "${graph.name}" has no outputs`);
}

function undefinedUse(node: Node, value: string, producer: Node | undefined): GraphError {
  return producer === undefined
    ? nodeError(node, `reads the value "${value}", which is not defined`)
    : nodeError(node, `reads "${value}" before node "${producer.name}" produces it: wrong order, or a cycle`);
}

function verifyTensor({ name, dataType, dims, data, quantization }: Initializer): void {
  const fail = (detail: string): GraphError => new GraphError(`tensor "${name}": ${detail}`);
  if (!dims.every(isSize)) throw fail(`the dimensions [${dims.join(', ')}] are not sizes`);
  if (data.kind === 'unbound') return;

  const cast = data.kind === 'external' ? data.storedAs : undefined;
  const stored = quantization?.storedAs ?? cast ?? dataType;
  if (quantization !== undefined)
    verifyQuantization(quantization, { isPlain: cast === undefined, dataType, dims }, fail);
  const expected = byteSize(stored, dims);
  if (!Number.isSafeInteger(expected)) throw fail(`the dimensions [${dims.join(', ')}] are too large`);
  if (data.kind === 'external' && !(isSize(data.offset) && isSize(data.length))) {
    throw fail(`offset ${data.offset} and length ${data.length} are not sizes`);
  }
  if (data.kind === 'external' && data.arrangement !== undefined && !fits(data.arrangement, dims)) {
    throw fail(
      `[${data.arrangement.dims.join(', ')}] transposed by [${data.arrangement.perm.join(', ')}] does not fit`,
    );
  }
  const length = data.kind === 'inline' ? data.bytes.byteLength : data.length;
  if (length !== expected) throw fail(`${length} bytes of data, but [${dims.join(', ')}] ${stored} takes ${expected}`);
}

function verifyQuantization(
  { storedAs, scale, zeroPoint, axis }: Quantization,
  { isPlain, dataType, dims }: Pick<Initializer, 'dataType' | 'dims'> & { readonly isPlain: boolean },
  fail: (detail: string) => GraphError,
): void {
  for (const tensor of [scale, ...(zeroPoint === undefined ? [] : [zeroPoint])]) {
    verifyTensor(tensor);
    const fitsAxis = tensor.dims.length === 0 || (tensor.dims.length === 1 && tensor.dims[0] === dims[axis]);
    if (!fitsAxis) throw fail(`[${tensor.dims.join(', ')}] scales do not fit axis ${axis} of [${dims.join(', ')}]`);
  }
  if (!isPlain || dataType !== 'float32' || scale.dataType !== 'float32') throw fail('only float32 is quantized');
  if (zeroPoint !== undefined && zeroPoint.dataType !== storedAs) throw fail(`its zero point is not ${storedAs}`);
}

function fits({ dims: stored, perm }: Arrangement, dims: readonly number[]): boolean {
  const axes = new Set(perm.filter((axis) => axis in stored));
  return elementCount(stored) === elementCount(dims) && axes.size === stored.length && perm.length === stored.length;
}

function isSize(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
