import { describe, expect, it } from 'vitest';
import { inlineConstant } from '../../../src/graph/constants.js';
import type { Graph, Node } from '../../../src/graph/graph.js';
import { freshNames } from '../../../src/graph/names.js';
import {
  bypass,
  bypassAll,
  mapInitializers,
  prune,
  renameIn,
  renameReads,
  rewriteNodes,
} from '../../../src/graph/rewrite.js';
import { verifyGraph } from '../../../src/graph/verify.js';
import { graphOf } from '../../support/tiny-graphs.js';

/** x → Relu → Identity → Add a constant → y */
const graph: Graph = graphOf(['N', 2], (b, x) => {
  const kept = b.node('Identity', [b.node('Relu', [x])]);
  b.node('Add', [kept, b.constant('one', 'float32', [], [1])], { output: 'y' });
  return [{ name: 'y', dataType: 'float32', dims: ['N', 2] }];
});
const isIdentity = (node: Node): boolean => node.op === 'Identity';
const operators = (of: Graph | undefined): string[] | undefined => of?.nodes.map(({ op }) => op);

describe('rewriteNodes', () => {
  it('does not match where every node stays', () => {
    expect(rewriteNodes(graph, (node) => node)).toBeUndefined();
    expect(rewriteNodes(graph, (node) => [node])).toBeUndefined();
    expect(rewriteNodes(graph, (node) => node, { outputs: [...graph.outputs], opset: graph.opset })).toBeUndefined();
  });

  it('does not match where one node cannot be replaced', () => {
    const rewritten = rewriteNodes(graph, (node) => (isIdentity(node) ? undefined : { ...node, op: 'Relu' }));
    expect(rewritten).toBeUndefined();
  });

  it('adds nodes and constants ahead of what replaces a node, under names that are free', () => {
    const rewritten = rewriteNodes(graph, (node, draft) => {
      if (!isIdentity(node)) return node;
      const two = draft.constant('one', 'float32', [], [2]);
      return { ...node, op: 'Mul', inputs: [draft.node('Neg', node.inputs, 'relu'), two] };
    })!;
    verifyGraph(rewritten);
    expect(operators(rewritten)).toEqual(['Relu', 'Neg', 'Mul', 'Add']);
    expect(rewritten.nodes[1]).toMatchObject({ name: 'relu_1', outputs: ['relu_1'] });
    expect([...rewritten.initializers.keys()]).toEqual(['one', 'one_1']);
    expect(graph.initializers.size).toBe(1);
  });

  it('takes out nodes, and what only they needed', () => {
    const rewritten = rewriteNodes(graph, (node) => (node.op === 'Add' ? { ...node, inputs: ['x', 'one'] } : node))!;
    expect(operators(rewritten)).toEqual(['Add']);
  });

  it('replaces initializers, and shows them to the nodes behind', () => {
    const seen: (number | undefined)[] = [];
    const rewritten = rewriteNodes(graph, (node, draft) => {
      seen.push(draft.initializer('one')?.dims.length);
      if (node.op === 'Relu') draft.set(inlineConstant('one', 'float32', [1], [1]));
      return node;
    })!;
    expect(seen).toEqual([0, 1, 1]);
    expect(rewritten.initializers.get('one')!.dims).toEqual([1]);
  });

  it('gives the graph other outputs before it looks what they need', () => {
    const outputs = [{ name: 'relu', dataType: 'float32', dims: ['N', 2] }] as const;
    expect(operators(rewriteNodes(graph, (node) => node, { outputs }))).toEqual(['Relu']);
  });
});

describe('bypassAll', () => {
  it('takes out every such node that can be taken out', () => {
    expect(operators(bypassAll(graph, isIdentity))).toEqual(['Relu', 'Add']);
    expect(operators(bypassAll(graph, ({ op }) => op === 'Relu' || op === 'Identity'))).toEqual(['Add']);
  });

  it('does not match where none is there, or none can be taken out', () => {
    expect(bypassAll(graph, ({ op }) => op === 'Conv')).toBeUndefined();
    const lone = graphOf(['N', 2], (b, x) => {
      return [{ name: b.node('Identity', [x]), dataType: 'float32', dims: ['N', 2] }];
    });
    expect(bypass(lone, lone.nodes[0]!)).toBeUndefined();
    expect(bypassAll(lone, isIdentity)).toBeUndefined();
  });
});

describe('what changes nothing', () => {
  it('is the same object afterwards', () => {
    const [node] = graph.nodes;
    expect(prune(graph)).toBe(graph);
    expect(mapInitializers(graph, (initializer) => initializer)).toBe(graph);
    expect(renameReads(node!, (name) => name)).toBe(node);
    expect(renameIn(node!, (name) => name)).toBe(node);
  });

  it('is not, where something changes', () => {
    const { initializers } = mapInitializers(graph, (initializer) => ({ ...initializer, dims: [1] }));
    expect(initializers.get('one')!.dims).toEqual([1]);
    expect(renameReads(graph.nodes[0]!, () => 'z').inputs).toEqual(['z']);
    expect(operators(prune({ ...graph, outputs: [{ name: 'relu', dataType: 'float32', dims: [] }] }))).toEqual([
      'Relu',
    ]);
  });
});

it('gives the wanted name where it is free, and the first free suffix where it is not', () => {
  const taken = new Set(['a', 'a_1', 'b_1']);
  const fresh = freshNames(taken);
  expect(['a', 'a', 'b', 'b', 'c'].map(fresh)).toEqual(['a_2', 'a_3', 'b', 'b_2', 'c']);
  expect(taken.has('a_3')).toBe(true);
});
