/**
 * Keras's activation functions, by name. All work element by element, except the softmaxes, which run over the
 * channels. Functions without an operator in ONNX opset 18 are composed of others. Source:
 * keras.io/api/layers/activations.
 */
import { float, int } from '../../graph/attributes.js';
import type { LayerTools, Value } from './layer.js';

type Activation = (tools: LayerTools, x: Value) => string;

const scalar = (tools: LayerTools, value: number): string => tools.constant('float32', [], [value]);
const operator =
  (op: string): Activation =>
  (tools, { name }) =>
    tools.node(op, [name]);

/** An operator that runs along the channels. */
const overChannels =
  (op: string): Activation =>
  (tools, { name, rank }) =>
    tools.node(op, [name], { axis: int(rank === 4 ? 1 : -1) });

/** clip(x, low, high). */
export function clip(tools: LayerTools, x: string, low: number | undefined, high: number): string {
  return tools.node('Clip', [x, low === undefined ? '' : scalar(tools, low), scalar(tools, high)]);
}

export function leakyRelu(tools: LayerTools, x: string, slope: number): string {
  return tools.node('LeakyRelu', [x], { alpha: float(slope) });
}

/** x·sigmoid(x). */
const swish: Activation = (tools, { name }) => tools.node('Mul', [name, tools.node('Sigmoid', [name])]);

/** x/2·(1 + erf(x/√2)). */
const gelu: Activation = (tools, { name }) => {
  const erf = tools.node('Erf', [tools.node('Mul', [name, scalar(tools, Math.SQRT1_2)])]);
  const half = tools.node('Mul', [name, scalar(tools, 0.5)]);
  return tools.node('Mul', [half, tools.node('Add', [erf, scalar(tools, 1)])]);
};

/** The approximation of GELU: x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³))). */
const geluOfTanh: Activation = (tools, { name }) => {
  const cube = tools.node('Mul', [tools.node('Mul', [name, name]), name]);
  const bent = tools.node('Add', [name, tools.node('Mul', [cube, scalar(tools, 0.044715)])]);
  const tanh = tools.node('Tanh', [tools.node('Mul', [bent, scalar(tools, Math.sqrt(2 / Math.PI))])]);
  const half = tools.node('Mul', [name, scalar(tools, 0.5)]);
  return tools.node('Mul', [half, tools.node('Add', [tanh, scalar(tools, 1)])]);
};

/** clip(x/5 + 1/2, 0, 1) before Keras 3, clip(x/6 + 1/2, 0, 1) since then. */
const hardSigmoid: Activation = (tools, { name }) =>
  tools.node('HardSigmoid', [name], { alpha: float(tools.keras >= 3 ? 1 / 6 : 0.2), beta: float(0.5) });

const ACTIVATIONS: ReadonlyMap<string, Activation> = new Map<string, Activation>([
  ['linear', (_, { name }) => name],
  ['relu', operator('Relu')],
  ['relu6', (tools, { name }) => clip(tools, name, 0, 6)],
  ['leaky_relu', (tools, { name }) => leakyRelu(tools, name, 0.2)],
  ['elu', operator('Elu')],
  ['selu', operator('Selu')],
  ['sigmoid', operator('Sigmoid')],
  ['hard_sigmoid', hardSigmoid],
  ['tanh', operator('Tanh')],
  ['softplus', operator('Softplus')],
  ['softsign', operator('Softsign')],
  ['exponential', operator('Exp')],
  ['mish', operator('Mish')],
  ['swish', swish],
  ['silu', swish],
  ['hard_swish', operator('HardSwish')],
  ['hard_silu', operator('HardSwish')],
  ['gelu', gelu],
  // TensorFlow.js's name for the approximation of GELU.
  ['gelu_new', geluOfTanh],
  ['softmax', overChannels('Softmax')],
  ['log_softmax', overChannels('LogSoftmax')],
]);

/** Add an activation. Throws GraphError if the name is unknown. */
export function activate(tools: LayerTools, x: Value, name: string): Value {
  const activation = ACTIVATIONS.get(name);
  if (activation === undefined) throw tools.fail('activation', `"${name}" is not known`);
  return { ...x, name: activation(tools, x) };
}
