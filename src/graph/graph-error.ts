/**
 * A graph that is malformed, unsupported, or not what a pass or a measure needs. The message names the node, tensor or
 * value, and nothing of the machine: it may be shown as the reason why a model is not ready.
 */
import type { Node } from './graph.js';

export class GraphError extends Error {
  constructor(message: string, options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'GraphError';
  }
}

/** An error about one node: `node "layer1.0.conv1" (Conv): …`. */
export function nodeError(node: Node, detail: string): GraphError {
  return new GraphError(`node "${node.name}" (${node.op}): ${detail}`);
}
