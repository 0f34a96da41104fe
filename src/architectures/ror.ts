/**
 * Residual networks of residual networks with three levels of shortcuts, RoR-3, for CIFAR (Zhang 2016, figures 2 and 3):
 * over the whole net (root), over each stage of n blocks (middle), over each block.
 *
 * - `ror3_D`: blocks with the activation after the addition (He 2016a), depth 6n + 8. The sums of a stage's end and of the
 *   net's end are activated once. Parameter names are pytorchcv's.
 * - `pre_ror3_D`: pre-activation blocks, depth 6n + 8; `ror3_wrnD_K`: wide ones, depth 6n + 4. Parameter names are those
 *   of pre-resnet.ts, with `shortcut` for the longer shortcuts, which are not normalized.
 *
 * The paper halves by strides in the first block of a stage and in all shortcuts over it. `pooling` halves as pytorchcv
 * does instead, by 2×2 max-pooling between stages: the same parameters, another function.
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type ConvShape, type Layers } from './layers.js';
import { CIFAR_FORM, requireOption, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';
import { activate, basicFunction, finishPreActivationNet } from './pre-activation-units.js';

export interface RorOptions extends CommonOptions {
  /** Channels of the first stage; they double from stage to stage. */
  readonly width: number;
  /** Halve by max-pooling between stages in place of strides. */
  readonly pooling: boolean;
  /** An option of the nets that are not published ones. */
  readonly depth?: number;
}

interface Variant {
  readonly defaults: RorOptions;
  readonly depth: number;
  /** Layers besides the 6n of the blocks. */
  readonly others: 8 | 4;
  readonly preActivation: boolean;
}

const STEM_WIDTH = 16;

const defaults: RorOptions = { ...CIFAR_FORM, width: STEM_WIDTH, pooling: false };

const ror = (depth: number): Variant => ({ defaults, depth, others: 8, preActivation: false });
const preRor = (depth: number): Variant => ({ ...ror(depth), preActivation: true });
const wideRor = (depth: number, k: number): Variant => ({
  ...preRor(depth),
  defaults: { ...defaults, width: STEM_WIDTH * k },
  others: 4,
});
const pooled = (variant: Variant): Variant => ({ ...variant, defaults: { ...variant.defaults, pooling: true } });
/** Its depth is an option. */
const parametric = (variant: Variant): Variant => ({
  ...variant,
  defaults: { ...variant.defaults, depth: variant.depth },
});

export const RORS = {
  ror3_56_cifar: ror(56),
  ror3_110_cifar: ror(110),
  ror3_164_cifar: ror(164),
  ror3_56_cifar_pytorchcv: pooled(ror(56)),
  ror3_110_cifar_pytorchcv: pooled(ror(110)),
  ror3_164_cifar_pytorchcv: pooled(ror(164)),
  pre_ror3_164_cifar: preRor(164),
  ror3_wrn40_2_cifar: wideRor(40, 2),
  ror3_wrn58_4_cifar: wideRor(58, 4),
  ror3_cifar: parametric(ror(20)),
  pre_ror3_cifar: parametric(preRor(20)),
  ror3_wrn_cifar: parametric(wideRor(16, 2)),
};

const STAGES = 3;
const MAX_DEPTH = 2000;

/** The net with its options checked. */
interface Net extends RorOptions {
  readonly builder: GraphBuilder;
  readonly layers: Layers;
  /** Blocks in each stage. */
  readonly blocks: number;
}

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildRor(name: string, variant: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, variant.defaults, given);
  const { depth = variant.depth } = options;
  const blocks = (depth - variant.others) / 6;
  const fits = Number.isInteger(blocks) && blocks > 0 && depth <= MAX_DEPTH;
  requireOption(name, 'depth', depth, { fits, mustBe: `6n + ${variant.others}, at most ${MAX_DEPTH}` });

  const builder = graphBuilder({ name });
  const net: Net = { ...options, builder, layers: layersOn(builder, options), blocks };
  const image = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  return variant.preActivation ? preActivationNet(net, image) : postActivationNet(net, image);
}

interface Stage {
  readonly stage: number;
  readonly in: number;
  readonly out: number;
  /** Of its first block and of the shortcut over it. */
  readonly stride: number;
}

function stagesOf({ width, pooling }: Net): Stage[] {
  return Array.from({ length: STAGES }, (_, stage) => ({
    stage,
    in: stage === 0 ? STEM_WIDTH : width * 2 ** (stage - 1),
    out: width * 2 ** stage,
    stride: stage > 0 && !pooling ? 2 : 1,
  }));
}

/** The root shortcut, over all stages. */
function rootShape({ width }: Net): ConvShape {
  return { in: STEM_WIDTH, out: width * 2 ** (STAGES - 1), kernel: 1, stride: 2 ** (STAGES - 1) };
}

/** What halves the map behind a stage, where strides do not. It rounds up, as the strides of the root shortcut do. */
function poolBehind({ layers, pooling }: Net, x: string, { stage }: Stage): string {
  if (!pooling || stage === STAGES - 1) return x;
  return layers.maxPool(x, `pool${stage + 1}`, { kernel: 2, stride: 2, ceil: true });
}

// ---- activation after the addition -------------------------------------------------------------------------------

function postActivationNet(net: Net, image: string): Graph {
  const { builder, layers, blocks, classes } = net;
  const stem = convolve(net, image, 'features.init_block', { in: 3, out: STEM_WIDTH, kernel: 3, padding: 1 });
  const body = 'features.body';
  let x = layers.activation(stem, 'features.init_block.activ');
  let sum = convolve(net, x, `${body}.shortcut`, rootShape(net));
  for (const stage of stagesOf(net)) {
    const path = `${body}.stages.stage${stage.stage + 1}`;
    const middle = convolve(net, x, `${path}.shortcut`, { ...stage, kernel: 1 });
    for (let i = 0; i < blocks; i += 1) {
      const unit = `${path}.units.unit${i + 1}`;
      x = addBlock(net, x, unit, i === 0 ? stage : { ...stage, in: stage.out, stride: 1 });
      if (i < blocks - 1) x = layers.activation(x, `${unit}.activ`);
    }
    x = builder.node('Add', [x, middle], { name: `${path}.add` });
    if (stage.stage === STAGES - 1) sum = builder.node('Add', [x, sum], { name: `${body}.add` });
    else x = poolBehind(net, layers.activation(x, `${path}.activ`), stage);
  }
  const pooled = layers.globalAverage(layers.activation(sum, `${body}.activ`));
  const logits = layers.linear(pooled, 'output', { in: rootShape(net).out, out: classes, output: 'logits' });
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

/** 3×3, 3×3, and the shortcut over them; not activated. */
function addBlock(net: Net, x: string, unit: string, { in: channels, out, stride }: Omit<Stage, 'stage'>): string {
  const { builder, layers } = net;
  let y = convolve(net, x, `${unit}.body.conv1`, { in: channels, out, kernel: 3, stride, padding: 1 });
  y = layers.activation(y, `${unit}.body.conv1.activ`);
  y = convolve(net, y, `${unit}.body.conv2`, { in: out, out, kernel: 3, padding: 1 });
  const isSame = channels === out && stride === 1;
  const other = isSame ? x : convolve(net, x, `${unit}.identity_conv`, { in: channels, out, kernel: 1, stride });
  return builder.node('Add', [y, other], { name: `${unit}.add` });
}

/** Convolution and normalization. */
function convolve({ layers }: Net, x: string, name: string, { in: channels, out, ...shape }: ConvShape): string {
  return layers.batchNorm(layers.conv(x, `${name}.conv`, { in: channels, out, ...shape }), `${name}.bn`, out);
}

// ---- pre-activation ----------------------------------------------------------------------------------------------

function preActivationNet(net: Net, image: string): Graph {
  const { builder, layers, blocks, classes } = net;
  let x = layers.conv(image, 'stem.conv', { in: 3, out: STEM_WIDTH, kernel: 3, padding: 1 });
  const root = layers.conv(x, 'shortcut', rootShape(net));
  for (const stage of stagesOf(net)) {
    const path = `stages.${stage.stage}`;
    const middle = layers.conv(x, `${path}.shortcut`, { ...stage, kernel: 1 });
    for (let i = 0; i < blocks; i += 1) {
      const { in: channels, out, stride } = i === 0 ? stage : { ...stage, in: stage.out, stride: 1 };
      const name = `${path}.blocks.${i}`;
      const active = activate(layers, x, `${name}.norm1`, channels);
      const made = basicFunction(layers, active, { name, in: channels, inner: out, out, stride });
      const isSame = channels === out && stride === 1;
      const other = isSame ? x : layers.conv(x, `${name}.downsample.conv`, { in: channels, out, kernel: 1, stride });
      x = builder.node('Add', [made, other], { name: `${name}.add` });
    }
    x = poolBehind(net, builder.node('Add', [x, middle], { name: `${path}.add` }), stage);
  }
  x = builder.node('Add', [x, root], { name: 'add' });
  return finishPreActivationNet(builder, layers, x, { channels: rootShape(net).out, classes });
}
