import { describe, expect, it } from 'vitest';
import type { Graph, Initializer, Node } from '../../../src/graph/graph.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { verifyGraph } from '../../../src/graph/verify.js';

const relu = (name: string, from: string, to: string): Node => ({
  op: 'Relu',
  name,
  inputs: [from],
  outputs: [to],
  attributes: {},
});

const valid: Graph = {
  name: 'valid',
  opset: 18,
  inputs: [{ name: 'x', dataType: 'float32', dims: ['N'] }],
  outputs: [{ name: 'z', dataType: 'float32', dims: ['N'] }],
  nodes: [relu('a', 'x', 'y'), relu('b', 'y', 'z')],
  initializers: new Map(),
};

const withTensor = (data: Initializer['data'], dims: readonly number[] = [2, 3]): Graph => ({
  ...valid,
  initializers: new Map([['w', { name: 'w', dataType: 'float32', dims, data }]]),
});

describe('verifyGraph', () => {
  it('accepts a graph in order', () => {
    expect(() => verifyGraph(valid)).not.toThrow();
    expect(() => verifyGraph(withTensor({ kind: 'inline', bytes: new Uint8Array(24) }))).not.toThrow();
    expect(() => verifyGraph(withTensor({ kind: 'external', file: 'w', offset: 8, length: 24 }))).not.toThrow();
  });

  it('measures external data by the type that the file holds', () => {
    const data = { kind: 'external', file: 'w', offset: 0, length: 12, storedAs: 'float16' } as const;
    expect(() => verifyGraph(withTensor(data))).not.toThrow();
  });

  it.each<[string, Graph, RegExp]>([
    ['a value defined twice', { ...valid, nodes: [...valid.nodes, relu('c', 'x', 'y')] }, /"c" defines.*"y" a second/],
    ['a value that is also an input', { ...valid, nodes: [relu('a', 'x', 'x')] }, /"x" a second time/],
    ['an undefined value', { ...valid, nodes: [relu('a', 'q', 'z')] }, /node "a" \(Relu\): .*"q".*not defined/],
    ['nodes out of order', { ...valid, nodes: valid.nodes.toReversed() }, /"b".*before node "a"/],
    ['a cycle', { ...valid, nodes: [relu('a', 'z', 'y'), relu('b', 'y', 'z')] }, /before node "b".*cycle/],
    [
      'two nodes of one name',
      { ...valid, nodes: [relu('a', 'x', 'y'), relu('a', 'y', 'z')] },
      /name is empty or taken/,
    ],
    ['an output that nothing makes', { ...valid, nodes: valid.nodes.slice(0, 1) }, /output "z" is not produced/],
    ['no outputs', { ...valid, outputs: [] }, /no outputs/],
    ['inline data of a wrong length', withTensor({ kind: 'inline', bytes: new Uint8Array(23) }), /"w": 23 bytes.*24/],
    ['a negative offset', withTensor({ kind: 'external', file: 'w', offset: -1, length: 24 }), /offset -1/],
    ['a wrong external length', withTensor({ kind: 'external', file: 'w', offset: 0, length: 25 }), /25 bytes.*24/],
    ['a negative dimension', withTensor({ kind: 'unbound' }, [2, -3]), /\[2, -3\] are not sizes/],
    [
      'dimensions beyond any memory',
      withTensor({ kind: 'inline', bytes: new Uint8Array() }, [2 ** 40, 2 ** 40]),
      /large/,
    ],
  ])('rejects %s', (_, graph, message) => {
    expect(() => verifyGraph(graph)).toThrow(GraphError);
    expect(() => verifyGraph(graph)).toThrow(message);
  });
});
