/**
 * A plain net inside of a deeper one: the layers that the deeper net has more are made the identity. Their convolutions have
 * kernels 0 0 0 / 0 1 0 / 0 0 0 from each channel to itself; their batch normalizations give back what they take
 * (γ = √(1 + ε), β = 0, mean 0, variance 1), and a ReLU does nothing to values that a ReLU has made. So whatever a
 * plain net can learn, a deeper one can represent (He 2016a, section 1).
 */
import { attribute } from '../graph/attributes.js';
import { inlineConstant } from '../graph/constants.js';
import type { Graph, Initializer, Node } from '../graph/graph.js';
import { nodeError } from '../graph/graph-error.js';
import { rewriteNodes, type Draft } from '../graph/rewrite.js';

export interface Embedded {
  readonly graph: Graph;
  /** Names of the convolutions that became the identity. */
  readonly identities: readonly string[];
}

/**
 * The deeper graph with the parameters of `shallow` where it has those of the same name, and identities in all other places. Throws
 * GraphError if a layer that `shallow` lacks cannot be one.
 */
export function embedPlain(shallow: Graph, deep: Graph): Embedded {
  const identities: string[] = [];
  const graph = rewriteNodes(deep, (node, draft) => {
    const missing = node.inputs.slice(1).filter((name) => !shallow.initializers.has(name));
    if (missing.length === 0) {
      for (const name of node.inputs.slice(1)) draft.set(shallow.initializers.get(name)!);
      return node;
    }
    if (node.op === 'BatchNormalization') return identityNorm(node, draft);
    if (node.op !== 'Conv') throw nodeError(node, 'has no identity');
    identities.push(node.name);
    return { ...node, inputs: [node.inputs[0]!, draft.set(identityKernel(node, deep))] };
  });
  return { graph: graph ?? deep, identities };
}

/** [c, c, k, k], one for all layers of these dimensions. */
function identityKernel(node: Node, { initializers }: Graph): Initializer {
  const [out = 0, channels = 0, height = 0, width = 0] = initializers.get(node.inputs[1]!)!.dims;
  const strides = attribute(node, 'strides', 'ints') ?? [1];
  const isSame = out === channels && height % 2 === 1 && width % 2 === 1 && strides.every((stride) => stride === 1);
  if (!isSame || node.inputs.length > 2) throw nodeError(node, 'has no identity');
  const kernel = new Float32Array(out * channels * height * width);
  const middle = ((height - 1) / 2) * width + (width - 1) / 2;
  for (let channel = 0; channel < out; channel += 1)
    kernel[(channel * channels + channel) * height * width + middle] = 1;
  return inlineConstant(
    `identity.${[out, channels, height, width].join('x')}`,
    'float32',
    [out, channels, height, width],
    kernel,
  );
}

function identityNorm(node: Node, draft: Draft): Node {
  const epsilon = attribute(node, 'epsilon', 'float') ?? 1e-5;
  const [channels = 0] = draft.initializer(node.inputs[1])?.dims ?? [];
  const values = { scale: Math.sqrt(1 + epsilon), bias: 0, mean: 0, variance: 1 };
  const constants = Object.entries(values).map(([name, value]) =>
    draft.set(
      inlineConstant(`identity.${channels}.${name}`, 'float32', [channels], new Float32Array(channels).fill(value)),
    ),
  );
  return { ...node, inputs: [node.inputs[0]!, ...constants] };
}
