/**
 * A residual network whose blocks of a stage are one block, applied again and again: a recurrent net, unrolled (Liao and
 * Poggio 2016). Three stages for CIFAR; the second and third begin with a block of their own, which halves. The block's
 * convolutions are the same parameters in every step; its normalizations are too, or each step has its own.
 *
 * The authors' layer list could not be had. This one is a pre-activation ResNet (He 2016b) with shared weights; the blocks
 * that halve project their input as it is, not activated.
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import { layersOn, type Layers } from './layers.js';
import { CIFAR_FORM, requireOption, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';
import { activate, basicFunction, finishPreActivationNet, type Unit } from './pre-activation-units.js';

export interface RecurrentResNetOptions extends CommonOptions {
  /** Channels of the first stage; they double from stage to stage. */
  readonly width: number;
  /** How often the block of a stage is applied. */
  readonly steps: number;
  /** Whether all steps have the same normalizations. */
  readonly sharedNorms: boolean;
}

interface Variant {
  readonly defaults: RecurrentResNetOptions;
}

export const RECURRENT_RESNETS = {
  recurrent_resnet_cifar: { defaults: { ...CIFAR_FORM, width: 16, steps: 8, sharedNorms: false } },
} satisfies Record<string, Variant>;

const STAGES = 3;
const MAX_STEPS = 500;

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildRecurrentResNet(name: string, { defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes, width, steps, sharedNorms } = options;
  requireOption(name, 'steps', steps, { fits: steps <= MAX_STEPS, mustBe: `at most ${MAX_STEPS}` });

  const builder = graphBuilder({ name });
  const layers = layersOn(builder, options);
  let channels = width;
  let x = builder.input('input', 'float32', ['N', 3, 'H', 'W']);
  x = layers.conv(x, 'stem.conv', { in: 3, out: channels, kernel: 3, padding: 1 });
  for (let stage = 0; stage < STAGES; stage += 1) {
    const path = `stages.${stage}`;
    const out = width * 2 ** stage;
    if (stage > 0) x = addTransition(builder, layers, x, { name: `${path}.transition`, in: channels, out });
    for (let step = 0; step < steps; step += 1) {
      const norm = sharedNorms ? 0 : step;
      const active = activate(layers, x, `${path}.norm1.${norm}`, out);
      const unit: Unit = { name: path, in: out, inner: out, out, stride: 1, norm2: `${path}.norm2.${norm}` };
      x = builder.node('Add', [basicFunction(layers, active, unit), x], { name: `${path}.add` });
    }
    channels = out;
  }
  return finishPreActivationNet(builder, layers, x, { channels, classes });
}

/** The pre-activation block that halves the map. */
function addTransition(
  builder: GraphBuilder,
  layers: Layers,
  x: string,
  { name, in: channels, out }: Pick<Unit, 'name' | 'in' | 'out'>,
): string {
  const active = activate(layers, x, `${name}.norm1`, channels);
  const branch = basicFunction(layers, active, { name, in: channels, inner: out, out, stride: 2 });
  const shortcut = layers.conv(x, `${name}.downsample.conv`, { in: channels, out, kernel: 1, stride: 2 });
  return builder.node('Add', [branch, shortcut], { name: `${name}.add` });
}
