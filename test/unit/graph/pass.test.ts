import { describe, expect, it } from 'vitest';
import type { Graph } from '../../../src/graph/graph.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { applyPass, applyPasses, applyWhereMatching, type Pass } from '../../../src/graph/pass.js';
import { tinyResNet } from '../../support/tiny-graphs.js';

const pass = (name: string, apply: (graph: Graph) => Graph | undefined): Pass => ({ name, apply });
const rename = pass('rename', (graph) => ({ ...graph, name: `${graph.name}!` }));
const never = pass('never', () => undefined);
const idle = pass('idle', (graph) => graph);
const spoil = pass('spoil', (graph) => ({ ...graph, nodes: graph.nodes.slice(1) }));

describe('applyPass', () => {
  it('returns the rewritten graph, or undefined where the pass does not apply', () => {
    const graph = tinyResNet();
    expect(applyPass(graph, rename)?.name).toBe('resnet18!');
    expect(applyPass(graph, never)).toBeUndefined();
    expect(applyPass(graph, idle)).toBeUndefined();
  });

  it('names the pass whose result is malformed', () => {
    expect(() => applyPass(tinyResNet(), spoil)).toThrow(GraphError);
    expect(() => applyPass(tinyResNet(), spoil)).toThrow(/^pass spoil: node "bn1"/);
  });
});

describe('applyPasses', () => {
  it('applies passes in order', () => {
    expect(applyPasses(tinyResNet(), [rename, rename]).name).toBe('resnet18!!');
  });

  it('names the first pass that does not apply', () => {
    expect(() => applyPasses(tinyResNet(), [rename, never])).toThrow(/pass never does not apply to graph "resnet18!"/);
  });
});

describe('applyWhereMatching', () => {
  it('passes over what does not apply', () => {
    const graph = tinyResNet();
    expect(applyWhereMatching(graph, [never, rename, idle]).name).toBe('resnet18!');
    expect(applyWhereMatching(graph, [never, idle])).toBe(graph);
  });
});
