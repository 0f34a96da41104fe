/**
 * Make one node of a softmax or a sigmoid that a file spells out in arithmetic.
 *
 *   Before: e = Exp(z) or Exp(z − shift), e ÷ ReduceSum(e)   After: Softmax(z) over the axis of the sum
 *           Exp(LogSoftmax(z))                                      Softmax(z)
 *           1 ÷ (1 + Exp(−z))                                       Sigmoid(z)
 *
 * Preconditions: one axis is summed, at the native size the sum and the shift have one number for all along it, and before opset 13
 * it is the last of more than one number. A quotient may be a Div or a product with a Reciprocal, −z a Neg or a product with −1.
 *
 * Equal because exp(z − c) / Σ exp(z − c) = exp(z) / Σ exp(z) for every c: exp(−c) cancels. Where the file's exponentials overflow,
 * the one node's do not. Source: ONNX operators Softmax and Sigmoid; before opset 13 a softmax is over all axes from `axis` on.
 */
import { elementCount } from '../../tensor.js';
import { axesOf, int } from '../attributes.js';
import { floatValues, halfValues } from '../constants.js';
import type { Graph, Initializer, Node } from '../graph.js';
import { nativeShapes, type NativeSize } from '../native-shapes.js';
import { isOfKind } from '../operators.js';
import type { Pass } from '../pass.js';
import { producersOf, rewriteNodes } from '../rewrite.js';

/** The pass for a graph of this native size. */
export function mergeActivations(nativeSize: NativeSize): Pass {
  return { name: 'merge-activations', apply: (graph) => merge(graph, nativeSize) };
}

type Activation = Pick<Node, 'op' | 'inputs' | 'attributes'>;

function merge(graph: Graph, nativeSize: NativeSize): Graph | undefined {
  if (!graph.nodes.some(({ op }) => op === 'Exp')) return undefined;
  const arithmetic = new Arithmetic(graph, nativeSize);
  return rewriteNodes(graph, (node) => {
    const merged = arithmetic.softmax(node) ?? arithmetic.sigmoid(node);
    return merged === undefined ? node : { ...node, ...merged };
  });
}

/** How the values of a graph are computed. */
class Arithmetic {
  readonly #graph: Graph;
  readonly #producers: ReadonlyMap<string, Node>;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  constructor(graph: Graph, nativeSize: NativeSize) {
    this.#graph = graph;
    this.#producers = producersOf(graph);
    this.#shapes = nativeShapes(graph, nativeSize);
  }

  softmax(node: Node): Activation | undefined {
    const log = node.op === 'Exp' ? this.#made('LogSoftmax', node.inputs[0]) : undefined;
    if (log !== undefined) return { op: 'Softmax', inputs: log.inputs, attributes: log.attributes };

    const { dividend, divisor } = this.#quotient(node) ?? {};
    const terms = this.#made('Exp', dividend);
    const sum = this.#made('ReduceSum', this.#beforeViews(divisor));
    const dims = this.#shapes.get(dividend ?? '');
    if (terms === undefined || dims === undefined || sum === undefined || sum.inputs[0] !== dividend) return undefined;
    const axes = axesOf(this.#graph, sum) ?? [];
    const axis = axes[0]! < 0 ? axes[0]! + dims.length : axes[0]!;
    const isAlong = (name: string | undefined): boolean =>
      this.#shapes.get(name ?? '')?.join() === dims.with(axis, 1).join();
    const isOneAxis = this.#graph.opset >= 13 || elementCount(dims.slice(axis + 1)) === 1;
    if (axes.length !== 1 || dims[axis] === undefined || !isAlong(divisor) || !isOneAxis) return undefined;
    const [shifted, shift] = this.#made('Sub', terms.inputs[0])?.inputs ?? [];
    return { op: 'Softmax', inputs: isAlong(shift) ? [shifted!] : terms.inputs, attributes: { axis: int(axis) } };
  }

  sigmoid(node: Node): Activation | undefined {
    const { dividend, divisor } = this.#quotient(node) ?? {};
    const exponential = this.#made('Exp', this.#besideConstant('Add', 1, divisor));
    const [exponent] = exponential?.inputs ?? [];
    const z = this.#made('Neg', exponent)?.inputs[0] ?? this.#besideConstant('Mul', -1, exponent);
    const isInverse = dividend === undefined || this.#isConstant(dividend, 1);
    return z === undefined || !isInverse ? undefined : { op: 'Sigmoid', inputs: [z], attributes: {} };
  }

  /** What a node divides by what. The dividend of a Reciprocal is undefined. */
  #quotient({ op, inputs }: Node): { readonly dividend?: string; readonly divisor: string } | undefined {
    const [a = '', b = ''] = inputs;
    if (op === 'Div') return { dividend: a, divisor: b };
    if (op === 'Reciprocal') return { divisor: a };
    const factors = op === 'Mul' ? [[a, b] as const, [b, a] as const] : [];
    for (const [dividend, factor] of factors) {
      const reciprocal = this.#made('Reciprocal', factor);
      if (reciprocal !== undefined) return { dividend, divisor: reciprocal.inputs[0]! };
    }
    return undefined;
  }

  /** The other operand of such a node that adds or multiplies with a constant. */
  #besideConstant(op: 'Add' | 'Mul', constant: number, name: string | undefined): string | undefined {
    const inputs = this.#made(op, name)?.inputs ?? [];
    const at = inputs.findIndex((input) => this.#isConstant(input, constant));
    return at < 0 ? undefined : inputs[1 - at];
  }

  /** Whether it is this one number, which gives no value another shape. */
  #isConstant(name: string, number: number): boolean {
    const constant = this.#graph.initializers.get(name);
    if (constant === undefined || constant.dims.length > 1) return false;
    const values = numbersOf(constant);
    return values?.length === 1 && values[0] === number;
  }

  /** The value in front of what only names dimensions anew. */
  #beforeViews(name: string | undefined): string | undefined {
    const node = this.#producers.get(name ?? '');
    return node !== undefined && isOfKind(node, 'view') ? this.#beforeViews(node.inputs[0]) : name;
  }

  /** The node that makes this value, if it is of this operator. */
  #made(op: string, name: string | undefined): Node | undefined {
    const node = this.#producers.get(name ?? '');
    return node?.op === op ? node : undefined;
  }
}

function numbersOf(constant: Initializer): ArrayLike<number> | undefined {
  const { dataType, data } = constant;
  return dataType === 'float16' && data.kind === 'inline' ? halfValues(data.bytes) : floatValues(constant);
}
