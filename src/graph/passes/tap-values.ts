/**
 * Let inner values leave the graph too.
 *
 *   Before: … → x → … → logits                  outputs: logits
 *   After:  … → x → … → logits                  outputs: logits, x
 *
 * Preconditions: each value is made by a node, its type is known and is one that sessions give, and its rank is known at
 * `size`. No match where all of them are outputs already. Throws GraphError for a value that does not fit.
 *
 * Equal because no node changes: an output is only read.
 */
import { isSessionType } from '../../tensor.js';
import type { Graph, ValueInfo } from '../graph.js';
import { GraphError } from '../graph-error.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import type { Pass } from '../pass.js';
import { producersOf } from '../rewrite.js';
import { valueTypes } from '../value-types.js';

/** The pass for values of these names. An output has the name of its value, and `[N, …]` with all other sizes free. */
export function tapValues(names: readonly string[], size: NativeSize): Pass {
  return {
    name: 'tap-values',
    apply(graph: Graph) {
      const given = new Set(graph.outputs.map(({ name }) => name));
      const wanted = [...new Set(names)].filter((name) => !given.has(name));
      if (wanted.length === 0) return undefined;
      const describe = valueDescriber(graph, size);
      return { ...graph, outputs: [...graph.outputs, ...wanted.map(describe)] };
    },
  };
}

function valueDescriber(graph: Graph, size: NativeSize): (name: string) => ValueInfo {
  const producers = producersOf(graph);
  const shapes = nativeShapes(graph, size);
  const types = valueTypes(graph);
  const [batch = 'N'] = graph.inputs[0]?.dims ?? [];
  return (name) => {
    const fail = (detail: string): GraphError => new GraphError(`the value "${name}" cannot be tapped: ${detail}`);
    if (!producers.has(name)) throw fail('no node makes it');
    const [dataType, shape] = [types.get(name), shapes.get(name)];
    if (dataType === undefined || !isSessionType(dataType)) throw fail(`its type is ${dataType ?? 'not known'}`);
    if (shape === undefined || shape.length === 0) throw fail('its shape is not known');
    const free = shape.slice(1).map((_, axis) => `${name}.${axis + 1}`);
    return { name, dataType, dims: [batch, ...free] };
  };
}
