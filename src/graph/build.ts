/**
 * A builder for graphs: architectures start an empty one, passes continue an existing one. It hands out fresh names and
 * keeps nodes in the order of the calls, which is topological because a value must exist before it can be an argument.
 */
import { inlineConstant } from './constants.js';
import type { Attribute, DataType, Dim, Graph, Initializer, Node, ValueInfo } from './graph.js';
import { freshNames, namesOf } from './names.js';

/** Opset of the graphs made here: the first whose Reduce operators all take their axes as an input. */
export const OPSET = 18;

export interface NodeOptions {
  /** Gets a suffix if it is taken. Default: the operator in lower case. */
  readonly name?: string;
  /** Name of the first output, used unchanged. Default: the node's name. */
  readonly output?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface GraphBuilder {
  /** Declare a graph input; returns its name. */
  input(name: string, dataType: DataType, dims: readonly Dim[]): string;
  /** Declare a float32 parameter whose weights are bound later (passes/bind-weights.ts); returns its name. */
  parameter(name: string, dims: readonly number[]): string;
  /** Add a small inline constant; returns its name, with a suffix if `name` is taken. */
  constant(name: string, dataType: 'float32' | 'int64', dims: readonly number[], values: readonly number[]): string;
  /** Add a node with one output; returns the name of the output. */
  node(op: string, inputs: readonly string[], options?: NodeOptions): string;
  /** Add a node with several outputs; returns their names. */
  nodes(op: string, inputs: readonly string[], outputs: number, options?: NodeOptions): string[];
  /** The graph with these outputs. */
  finish(outputs: readonly ValueInfo[]): Graph;
}

/**
 * A builder that continues `base`: its inputs, nodes and initializers stay and come first, and its names count as
 * taken.
 */
export function graphBuilder(base: Graph | { readonly name: string }): GraphBuilder {
  const start = 'nodes' in base ? base : emptyGraph(base.name);
  const inputs: ValueInfo[] = [...start.inputs];
  const nodes: Node[] = [...start.nodes];
  const initializers = new Map<string, Initializer>(start.initializers);
  const taken = namesOf(start);
  const fresh = freshNames(taken);
  const addNode = (op: string, from: readonly string[], outputs: number, options: NodeOptions): string[] => {
    const name = fresh(options.name ?? op.toLowerCase());
    const others = Array.from({ length: outputs - 1 }, (_, index) => fresh(`${name}.${index + 1}`));
    const values = [options.output ?? name, ...others];
    taken.add(values[0]!);
    nodes.push({ op, name, inputs: from, outputs: values, attributes: options.attributes ?? {} });
    return values;
  };

  return {
    input(name, dataType, dims) {
      taken.add(name);
      inputs.push({ name, dataType, dims });
      return name;
    },
    parameter(name, dims) {
      taken.add(name);
      initializers.set(name, { name, dataType: 'float32', dims, data: { kind: 'unbound' } });
      return name;
    },
    constant(wanted, dataType, dims, values) {
      const name = fresh(wanted);
      initializers.set(name, inlineConstant(name, dataType, dims, values));
      return name;
    },
    node: (op, from, options = {}) => addNode(op, from, 1, options)[0]!,
    nodes: (op, from, outputs, options = {}) => addNode(op, from, outputs, options),
    finish: (outputs) => ({ name: start.name, opset: start.opset, inputs, outputs, nodes, initializers }),
  };
}

function emptyGraph(name: string): Graph {
  return { name, opset: OPSET, inputs: [], outputs: [], nodes: [], initializers: new Map() };
}
