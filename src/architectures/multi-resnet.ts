/**
 * Multi-residual networks (Abdi 2016): y = x + F₁(x) + … + F_k(x), k residual functions side by side in each unit. Each
 * is a whole pre-activation function with weights and a first normalization of its own. Source: the authors' Lua,
 * masoudabd/multi-resnet.
 *
 * - CIFAR, bottlenecks: depth 9n + 2, the stride on the first 1×1.
 * - CIFAR, basic (`multi_resnet_basic…`): depth 6n + 2.
 * - ImageNet: the depths of He 2016b; the stem ends in normalization and activation, before its pooling.
 *
 * In the first unit of a stage the functions and the shortcut share one normalization and activation; the first unit for
 * ImageNet has none, because the stem ends in them. Parameter names are those of pre-resnet.ts, with `branches.K` in the
 * unit.
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type Layers } from './layers.js';
import {
  CIFAR_FORM,
  IMAGENET_FORM,
  requireOption,
  resolveOptions,
  type ArchitectureOptions,
  type CommonOptions,
} from './options.js';
import {
  activate,
  basicFunction,
  bottleneckFunction,
  finishPreActivationNet,
  type Unit,
} from './pre-activation-units.js';
import { STEM_WINDOWS } from './stem.js';

/** What the name of a published net says, and options of the nets that are not published ones. */
interface Form {
  readonly depth: number;
  /** Residual functions in a unit. */
  readonly k: number;
}

export interface MultiResNetOptions extends CommonOptions, Partial<Form> {
  /** Channels inside the functions of the first stage; they double from stage to stage. */
  readonly width: number;
}

/** Units in each stage. */
interface Shape {
  readonly units: readonly number[];
  readonly bottleneck: boolean;
}

interface Kind {
  readonly published: CommonOptions & { readonly width: number };
  readonly stem: 'imagenet' | 'cifar';
  readonly stemWidth: number;
  /** The convolution of a bottleneck that has the stride. */
  readonly strideOn: 'conv1' | 'conv2';
  /** Undefined for a depth that the nets do not have. */
  shapeOf(depth: number): Shape | undefined;
  readonly depths: string;
}

interface Variant {
  readonly defaults: MultiResNetOptions;
  readonly kind: Kind;
  readonly form: Form;
}

const MAX_DEPTH = 2000;

/** n units in each of three stages, from depth = layers · n + 2. */
const cifar = (layers: number, bottleneck: boolean): Kind => ({
  published: { ...CIFAR_FORM, width: 16 },
  stem: 'cifar',
  stemWidth: 16,
  strideOn: 'conv1',
  shapeOf(depth) {
    const n = (depth - 2) / layers;
    return Number.isInteger(n) && n > 0 && depth <= MAX_DEPTH ? { units: [n, n, n], bottleneck } : undefined;
  },
  depths: `${layers}n + 2, at most ${MAX_DEPTH}`,
});

const IMAGENET_SHAPES: Readonly<Record<number, Shape>> = {
  18: { units: [2, 2, 2, 2], bottleneck: false },
  34: { units: [3, 4, 6, 3], bottleneck: false },
  50: { units: [3, 4, 6, 3], bottleneck: true },
  101: { units: [3, 4, 23, 3], bottleneck: true },
  152: { units: [3, 8, 36, 3], bottleneck: true },
  200: { units: [3, 24, 36, 3], bottleneck: true },
};

const BOTTLENECK = cifar(9, true);
const BASIC = cifar(6, false);
const IMAGENET: Kind = {
  published: { ...IMAGENET_FORM, width: 64 },
  stem: 'imagenet',
  stemWidth: 64,
  strideOn: 'conv2',
  shapeOf: (depth) => IMAGENET_SHAPES[depth],
  depths: `one of ${Object.keys(IMAGENET_SHAPES).join(', ')}`,
};

const MAX_FUNCTIONS = 64;

/** A published net: its depth and k are no options. */
function published(kind: Kind, depth: number, k: number, widening = 1): Variant {
  const { width, ...common } = kind.published;
  return { kind, form: { depth, k }, defaults: { ...common, width: width * widening } };
}

/** The net whose depth and k are options. */
const parametric = (kind: Kind, form: Form): Variant => ({ kind, form, defaults: { ...kind.published, ...form } });

export const MULTI_RESNETS = {
  multi_resnet200_k5_cifar: published(BOTTLENECK, 200, 5),
  multi_resnet398_k5_cifar: published(BOTTLENECK, 398, 5),
  multi_resnet_basic8_k23_cifar: published(BASIC, 8, 23),
  multi_resnet_basic14_k10_cifar: published(BASIC, 14, 10),
  multi_resnet_basic20_k6_cifar: published(BASIC, 20, 6),
  multi_resnet_basic26_k5_cifar: published(BASIC, 26, 5),
  multi_resnet_basic110_k4_cifar: published(BASIC, 110, 4),
  multi_resnet_basic26_k2_w10_cifar: published(BASIC, 26, 2, 10),
  multi_resnet_basic26_k4_w10_cifar: published(BASIC, 26, 4, 10),
  multi_resnet34_k2: published(IMAGENET, 34, 2),
  multi_resnet50_k2: published(IMAGENET, 50, 2),
  multi_resnet101_k2: published(IMAGENET, 101, 2),
  multi_resnet152_k2: published(IMAGENET, 152, 2),
  multi_resnet200_k2: published(IMAGENET, 200, 2),
  multi_resnet_cifar: parametric(BOTTLENECK, { depth: 29, k: 3 }),
  multi_resnet_basic_cifar: parametric(BASIC, { depth: 20, k: 3 }),
  multi_resnet: parametric(IMAGENET, { depth: 18, k: 2 }),
};

/** Output channels of a bottleneck, as a multiple of those inside. */
const EXPANSION = 4;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildMultiResNet(name: string, { kind, form, defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = { ...form, ...resolveOptions(name, defaults, given) };
  const { classes, width, depth, k } = options;
  const shape = kind.shapeOf(depth);
  requireOption(name, 'k', k, { fits: k <= MAX_FUNCTIONS, mustBe: `at most ${MAX_FUNCTIONS}` });
  if (shape === undefined) throw new Error(`${name}: option "depth" must be ${kind.depths}, is ${depth}`);

  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  let channels = kind.stemWidth;
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  x = layers.conv(x, 'stem.conv', { in: 3, out: channels, ...STEM_WINDOWS[kind.stem] });
  if (kind.stem === 'imagenet') {
    x = activate(layers, x, 'stem.norm', channels);
    x = layers.maxPool(x, 'stem.pool', { kernel: 3, stride: 2, padding: 1 });
  }
  for (const [stage, count] of shape.units.entries()) {
    const inner = width * 2 ** stage;
    const out = shape.bottleneck ? inner * EXPANSION : inner;
    for (let i = 0; i < count; i += 1) {
      const stride = stage > 0 && i === 0 ? 2 : 1;
      const unit = { name: `stages.${stage}.blocks.${i}`, in: channels, inner, out, stride, strideOn: kind.strideOn };
      let active: string | undefined;
      if (i === 0) {
        const stemIsActive = stage === 0 && kind.stem === 'imagenet';
        active = stemIsActive ? x : activate(layers, x, `${unit.name}.norm1`, channels);
      }
      x = addFunctions(builder, layers, { x, active }, { ...unit, k, bottleneck: shape.bottleneck });
      channels = out;
    }
  }
  return finishPreActivationNet(builder, layers, x, { channels, classes });
}

/** A unit, on its input or, in the first of a stage, on the activated input that all its parts share. */
function addFunctions(
  builder: GraphBuilder,
  layers: Layers,
  { x, active }: { readonly x: string; readonly active: string | undefined },
  { k, bottleneck, ...unit }: Unit & { readonly k: number; readonly bottleneck: boolean },
): string {
  const { name, in: channels, out, stride } = unit;
  let sum = active ?? x;
  if (channels !== out || stride !== 1) {
    sum = layers.conv(sum, `${name}.downsample.conv`, { in: channels, out, kernel: 1, stride });
  }
  for (let i = 0; i < k; i += 1) {
    const branch = { ...unit, name: `${name}.branches.${i}` };
    const from = active ?? activate(layers, x, `${branch.name}.norm1`, channels);
    const made = bottleneck ? bottleneckFunction(layers, from, branch) : basicFunction(layers, from, branch);
    sum = builder.node('Add', [sum, made], { name: `${branch.name}.add` });
  }
  return sum;
}
