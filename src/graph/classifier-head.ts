/**
 * How passes recognize a classifier's head: a chain of nodes, each the only reader of the one before, that ends in the
 * graph's single output. The chain is followed backwards from the output.
 */
import { elementCount } from '../tensor.js';
import { attribute } from './attributes.js';
import type { Graph, Initializer, Node } from './graph.js';
import { isOfKind } from './operators.js';
import { producersOf } from './rewrite.js';
import { windowsOf } from './windows.js';

/** A fully connected layer y = x·Wᵀ + b. */
export interface FullyConnected {
  readonly node: Node;
  /** [out, in]. */
  readonly weight: Initializer;
}

/** Dropout and Identity: y = x at inference. */
export const isIdentity = (node: Node): boolean => isOfKind(node, 'identity');

/**
 * Whether a node does the same to a vector and to each position of a map: element by element, or channel by channel. A
 * PRelu does if all channels share one slope.
 */
export function isActivation(graph: Graph, node: Node): boolean {
  if (node.op !== 'PRelu') return isOfKind(node, 'identity', 'elementwise', 'by-channel');
  const slope = graph.initializers.get(node.inputs[1] ?? '');
  return slope !== undefined && elementCount(slope.dims) === 1 && slope.dims.length <= 1;
}

/** A convolution that scores every place by itself: 1×1, stride 1, no padding. */
export function isPointwise(graph: Graph, node: Node): boolean {
  const weight = graph.initializers.get(node.inputs[1] ?? '');
  if (node.op !== 'Conv' || weight?.dims.length !== 4) return false;
  return windowsOf(node, weight.dims.slice(2)).every(
    ({ kernel, stride, padBegin, padEnd }) => kernel === 1 && stride === 1 && padBegin === 0 && padEnd === 0,
  );
}

/**
 * The chain of nodes that ends in the output, output first. It goes back as far as each node is the only reader of the
 * one before. Empty if the graph has several outputs or a node reads the output.
 */
export function tailOf(graph: Graph): Node[] {
  const [output, ...others] = graph.outputs;
  if (output === undefined || others.length > 0) return [];
  const producers = producersOf(graph);
  const readers = new Map<string, number>();
  for (const name of graph.nodes.flatMap(({ inputs }) => inputs)) readers.set(name, (readers.get(name) ?? 0) + 1);

  const tail: Node[] = [];
  let node = producers.get(output.name);
  if (readers.has(output.name)) return [];
  while (node !== undefined) {
    tail.push(node);
    const [value = ''] = node.inputs;
    node = readers.get(value) === 1 ? producers.get(value) : undefined;
  }
  return tail;
}

/**
 * A Gemm as a fully connected layer; undefined for other nodes and if its weight is computed, shared, scaled or not
 * [out, in].
 */
export function fullyConnected(graph: Graph, node: Node): FullyConnected | undefined {
  const [, weightName = ''] = node.inputs;
  const weight = graph.initializers.get(weightName);
  const plain =
    node.op === 'Gemm' &&
    attribute(node, 'transB', 'int') === 1 &&
    (attribute(node, 'transA', 'int') ?? 0) === 0 &&
    (attribute(node, 'alpha', 'float') ?? 1) === 1 &&
    (attribute(node, 'beta', 'float') ?? 1) === 1;
  const readers = graph.nodes.filter(({ inputs }) => inputs.includes(weightName)).length;
  return plain && weight?.dims.length === 2 && readers === 1 ? { node, weight } : undefined;
}

/** Flatten from axis 1: [N, C, h, w] → [N, C·h·w]. */
export function isFlatten(node: Node): boolean {
  return node.op === 'Flatten' && (attribute(node, 'axis', 'int') ?? 1) === 1;
}
