/**
 * ResNet (He 2016a, table 1) in the form "v1.5" that torchvision has: in a bottleneck the stride is on the 3×3
 * convolution, not on the first 1×1. Ends in global average pooling and one fully connected layer. Parameter names are
 * torchvision's.
 */
import { int } from '../graph/attributes.js';
import { graphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type Layers } from './layers.js';
import { resolveOptions, type ArchitectureOptions } from './options.js';

const STEMS = ['imagenet', 'compact', 'cifar'] as const;

export interface ResNetOptions {
  readonly classes: number;
  /** Channels of the stem and of the first stage; they double from stage to stage. */
  readonly width: number;
  /**
   * `imagenet`: 7×7 stride 2 and 3×3 max-pooling stride 2 (output stride 32); `compact`: 3×3 stride 2 (output stride
   * 16); `cifar`: 3×3 stride 1 (output stride 8).
   */
  readonly stem: string;
  /** Native side in pixels. The graph takes any size; accepted because every manifest has it. */
  readonly inputSize: number;
}

const DEFAULTS: ResNetOptions = { classes: 1000, width: 64, stem: 'imagenet', inputSize: 224 };

interface Block {
  readonly in: number;
  /** Channels inside the block. */
  readonly width: number;
  readonly out: number;
  readonly stride: number;
}

interface Variant {
  /** Blocks in each of the four stages. */
  readonly blocks: readonly number[];
  /** Output channels over inner channels. */
  readonly expansion: number;
  /** The residual branch, before the addition. */
  readonly residual: (layers: Layers, x: string, name: string, block: Block) => string;
}

const basic = { expansion: 1, residual: basicResidual };
const bottleneck = { expansion: 4, residual: bottleneckResidual };

const VARIANTS: Readonly<Record<number, Variant>> = {
  18: { blocks: [2, 2, 2, 2], ...basic },
  34: { blocks: [3, 4, 6, 3], ...basic },
  50: { blocks: [3, 4, 6, 3], ...bottleneck },
  101: { blocks: [3, 4, 23, 3], ...bottleneck },
  152: { blocks: [3, 8, 36, 3], ...bottleneck },
};

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on options that do not fit. */
export function buildResNet(name: string, depth: number, given: ArchitectureOptions = {}): Graph {
  const { classes, width, stem } = resolveOptions(name, DEFAULTS, given);
  const variant = VARIANTS[depth];
  if (variant === undefined) throw new Error(`there is no ResNet of depth ${depth}`);
  if (!STEMS.some((known) => known === stem)) {
    throw new Error(`${name}: option "stem" must be one of ${STEMS.join(', ')}, is "${stem}"`);
  }

  const builder = graphBuilder({ name });
  const layers = layersOn(builder);
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  const window =
    stem === 'imagenet'
      ? { kernel: 7, stride: 2, padding: 3 }
      : { kernel: 3, stride: stem === 'compact' ? 2 : 1, padding: 1 };
  x = layers.conv(x, 'conv1', { in: 3, out: width, ...window });
  x = layers.relu(layers.batchNorm(x, 'bn1', width), 'relu');
  if (stem === 'imagenet') x = layers.maxPool(x, 'maxpool', { kernel: 3, stride: 2, padding: 1 });

  let channels = width;
  for (const [stage, count] of variant.blocks.entries()) {
    for (let i = 0; i < count; i += 1) {
      const inner = width * 2 ** stage;
      const out = inner * variant.expansion;
      const block = { in: channels, width: inner, out, stride: stage > 0 && i === 0 ? 2 : 1 };
      const prefix = `layer${stage + 1}.${i}`;
      const residual = variant.residual(layers, x, prefix, block);
      const shortcut = projection(layers, x, prefix, block);
      x = builder.node('Add', [residual, shortcut], { name: `${prefix}.add` });
      x = layers.relu(x, `${prefix}.relu`);
      channels = out;
    }
  }

  x = builder.node('GlobalAveragePool', [x], { name: 'avgpool' });
  x = builder.node('Flatten', [x], { name: 'flatten', attributes: { axis: int(1) } });
  x = layers.linear(x, 'fc', { in: channels, out: classes, output: 'logits' });
  return builder.finish([{ name: x, dataType: 'float32', dims: ['N', classes] }]);
}

function basicResidual(layers: Layers, x: string, name: string, block: Block): string {
  const { width, stride } = block;
  let y = layers.conv(x, `${name}.conv1`, { in: block.in, out: width, kernel: 3, stride, padding: 1 });
  y = layers.relu(layers.batchNorm(y, `${name}.bn1`, width), `${name}.relu1`);
  y = layers.conv(y, `${name}.conv2`, { in: width, out: block.out, kernel: 3, padding: 1 });
  return layers.batchNorm(y, `${name}.bn2`, block.out);
}

function bottleneckResidual(layers: Layers, x: string, name: string, block: Block): string {
  const { width, stride } = block;
  let y = layers.conv(x, `${name}.conv1`, { in: block.in, out: width, kernel: 1 });
  y = layers.relu(layers.batchNorm(y, `${name}.bn1`, width), `${name}.relu1`);
  y = layers.conv(y, `${name}.conv2`, { in: width, out: width, kernel: 3, stride, padding: 1 });
  y = layers.relu(layers.batchNorm(y, `${name}.bn2`, width), `${name}.relu2`);
  y = layers.conv(y, `${name}.conv3`, { in: width, out: block.out, kernel: 1 });
  return layers.batchNorm(y, `${name}.bn3`, block.out);
}

/** The shortcut: the identity, or a 1×1 convolution where the shape changes (He 2016a, option B). */
function projection(layers: Layers, x: string, name: string, block: Block): string {
  if (block.stride === 1 && block.in === block.out) return x;
  const shape = { in: block.in, out: block.out, kernel: 1, stride: block.stride };
  return layers.batchNorm(layers.conv(x, `${name}.downsample.0`, shape), `${name}.downsample.1`, block.out);
}
