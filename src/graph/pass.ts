/**
 * Passes: rewrites of a graph. A pass that applies returns a new graph that computes the same. A pass that does not
 * apply, or has nothing to change, returns undefined ("no match") or the graph that it was given. Every graph that a
 * pass returns is verified here. Passes are written with rewrite.ts.
 */
import type { Graph } from './graph.js';
import { GraphError } from './graph-error.js';
import { verifyGraph } from './verify.js';

export interface Pass {
  /** Verb-object, the name of its file. */
  readonly name: string;
  /**
   * The rewritten graph; undefined or the same graph if there is nothing to do. Throws GraphError on a broken
   * invariant.
   */
  apply(graph: Graph): Graph | undefined;
}

/**
 * Apply one pass; undefined where it does not apply. Throws GraphError, naming the pass, when its result is malformed.
 */
export function applyPass(graph: Graph, pass: Pass): Graph | undefined {
  const result = pass.apply(graph);
  if (result === undefined || result === graph) return undefined;
  try {
    verifyGraph(result);
  } catch (cause) {
    throw new GraphError(`pass ${pass.name}: ${cause instanceof Error ? cause.message : 'failed'}`, { cause });
  }
  return result;
}

/** Apply passes that must all match, in order. Throws GraphError naming the first that does not. */
export function applyPasses(graph: Graph, passes: readonly Pass[]): Graph {
  return passes.reduce((current, pass) => {
    const next = applyPass(current, pass);
    if (next === undefined) throw new GraphError(`pass ${pass.name} does not apply to graph "${current.name}"`);
    return next;
  }, graph);
}

/** Apply, in order, each pass that matches. Returns the same graph if none does. */
export function applyWhereMatching(graph: Graph, passes: readonly Pass[]): Graph {
  return passes.reduce((current, pass) => applyPass(current, pass) ?? current, graph);
}
