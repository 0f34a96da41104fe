/**
 * Compute a network in 8-bit integers, as far as a plan says (quantization-plan.ts).
 *
 *   Before: x → Conv W, b → Relu → y
 *   After:  x → QuantizeLinear → DequantizeLinear → Conv W as int8, b as int32 → Relu
 *             → QuantizeLinear → DequantizeLinear → y
 *
 * Preconditions: the weights and biases of the plan's layers are inline float32; the range of every value of the plan
 * is known. Not equal: each value is rounded to one of 256 numbers, and clipped to its range.
 *
 * If a node's operands come from DequantizeLinear and its result goes to QuantizeLinear, the engine fuses them into one
 * node that computes in integers (onnxruntime: QLinearConv, QGemm, QLinearAdd, …). The ReLU goes with them, because the
 * clipping at 0 does the same. A node without such a kernel runs in float between the two. So the graph says what is
 * computed, and any engine can run it.
 */
import { elementCount } from '../../tensor.js';
import { floatValues, inlineConstant } from '../constants.js';
import type { Graph, Initializer, Node } from '../graph.js';
import { GraphError, nodeError } from '../graph-error.js';
import type { Pass } from '../pass.js';
import { activationScale, quantizeLayer, type ActivationScale, type ValueRange } from '../quantization.js';
import { isWeighted, type QuantizationPlan } from '../quantization-plan.js';
import { renameReads, rewriteNodes, type Draft } from '../rewrite.js';

/**
 * The pass. `ranges` holds the range of each value whose scale the plan uses, by name. No match if the plan has no
 * node.
 */
export function quantizeNetwork(plan: QuantizationPlan, ranges: ReadonlyMap<string, ValueRange>): Pass {
  return { name: 'quantize-network', apply: (graph) => quantize(graph, plan, ranges) };
}

function quantize(graph: Graph, plan: QuantizationPlan, ranges: ReadonlyMap<string, ValueRange>): Graph | undefined {
  if (plan.nodes.size === 0) return undefined;
  const scaleOf = (value: string): ActivationScale => {
    const range = ranges.get(plan.values.get(value)!);
    if (range === undefined) throw new GraphError(`the range of "${value}" is not known`);
    return activationScale(range);
  };
  /** The dequantized form of each value of the plan, from its first reader on. */
  const restored = new Map<string, string>();
  const roundTrip = (value: string, draft: Draft): string => {
    const { scale, zeroPoint } = scaleOf(value);
    const terms = [
      draft.constant(`${value}.scale`, 'float32', [], [scale]),
      draft.constant(`${value}.zero_point`, 'uint8', [], [zeroPoint]),
    ];
    const integers = draft.node('QuantizeLinear', [value, ...terms], `${value}.quantized`);
    const numbers = draft.node('DequantizeLinear', [integers, ...terms], `${value}.dequantized`);
    restored.set(value, numbers);
    return numbers;
  };

  return rewriteNodes(graph, (node, draft) => {
    const read = renameReads(node, (name) =>
      plan.values.has(name) ? (restored.get(name) ?? roundTrip(name, draft)) : name,
    );
    if (!plan.nodes.has(node) || !isWeighted(node, graph)) return read;
    const layer = quantizeWeights(graph, node, scaleOf(node.inputs[0]!).scale, draft);
    return { ...read, inputs: [read.inputs[0]!, ...layer.map((tensor) => draft.set(tensor))] };
  });
}

/** Weight and bias of a layer as integers, under new names: another layer may have the same weight. */
function quantizeWeights({ initializers }: Graph, node: Node, inputScale: number, draft: Draft): Initializer[] {
  const [, weightName = '', biasName = ''] = node.inputs;
  const [weight, bias] = [weightName, biasName].map((name) => initializers.get(name));
  const [values, biasValues] = [weight, bias].map((tensor) => tensor && floatValues(tensor));
  if (weight === undefined || values === undefined || (bias !== undefined && biasValues === undefined)) {
    throw nodeError(node, 'its weights or its bias are not inline float32');
  }
  const channels = weight.dims[0]!;
  if (biasValues !== undefined && elementCount(bias!.dims) !== channels) {
    throw nodeError(node, 'its bias must have one number per output channel');
  }
  const layer = quantizeLayer({ weight: values, channels, bias: biasValues }, inputScale);
  const scales = (array: Float32Array): Initializer => inlineConstant('scale', 'float32', [channels], array);
  // onnxruntime makes a QGemm only if the weights have a zero point.
  const zeroPoint: Initializer = {
    name: 'zero_point',
    dataType: 'int8',
    dims: [channels],
    data: { kind: 'inline', bytes: new Uint8Array(channels) },
  };
  return [
    {
      name: draft.fresh(`${weightName}.int8`),
      dataType: 'float32',
      dims: weight.dims,
      data: { kind: 'inline', bytes: new Uint8Array(layer.weight.buffer) },
      quantization: { storedAs: 'int8', scale: scales(layer.weightScales), zeroPoint, axis: 0 },
    },
    ...(layer.bias === undefined
      ? []
      : [
          {
            name: draft.fresh(`${biasName}.int32`),
            dataType: 'float32' as const,
            dims: [channels],
            data: { kind: 'inline' as const, bytes: new Uint8Array(layer.bias.buffer) },
            quantization: { storedAs: 'int32' as const, scale: scales(layer.biasScales), axis: 0 },
          },
        ]),
  ];
}
