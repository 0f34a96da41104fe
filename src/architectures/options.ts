/**
 * Options of an architecture, as a manifest gives them. They are checked against the architecture's defaults: an option
 * must have one of their keys and the type of that default. A text option must be one of a few words.
 */
import { ACTIVATIONS, type Activation } from './layers.js';
import { PADDINGS } from './padding.js';
import { STEMS } from './stem.js';

/** Options of a builder; each family's file lists its keys. */
export type ArchitectureOptions = Readonly<Record<string, number | string | boolean>>;

/** Options that every family has. */
export interface CommonOptions {
  readonly classes: number;
  readonly activation: Activation;
  /** Slope below zero of `leaky_relu`, between 0 and 1. */
  readonly leakyAlpha: number;
  /** The value that `elu` falls to, negative; above 0. */
  readonly eluAlpha: number;
  /**
   * Native side in pixels. It shapes the fully connected head of a VGG. A net with global average pooling takes images
   * of any size; it accepts this option because every manifest has it.
   */
  readonly inputSize: number;
}

/** As published: Maas 2013, Clevert 2016. */
const ALPHAS = { leakyAlpha: 0.01, eluAlpha: 1 };

/** Options of the published networks for ImageNet. */
export const IMAGENET_FORM: CommonOptions = { classes: 1000, activation: 'relu', inputSize: 224, ...ALPHAS };

/** Options of the published networks for CIFAR-10. */
export const CIFAR_FORM: CommonOptions = { classes: 10, activation: 'relu', inputSize: 32, ...ALPHAS };

const WORDS = new Map<string, readonly string[]>([
  ['activation', ACTIVATIONS],
  ['stem', STEMS],
  ['padding', PADDINGS],
]);

/** Numbers between 0 and 1. */
const FRACTIONS = new Set(['epsilon', 'leakyAlpha']);

/** Other numbers that need not be whole. */
const POSITIVES = new Set(['eluAlpha']);

/**
 * The defaults, overridden by `given`. Throws Error naming the option if the architecture does not have it, if its type
 * is wrong, or if its value is not allowed: not a positive integer, not positive, not between 0 and 1, or not one of the
 * words.
 */
export function resolveOptions<T extends object>(architecture: string, defaults: T, given: ArchitectureOptions): T {
  const known = new Map<string, unknown>(Object.entries(defaults));
  for (const [key, value] of Object.entries(given)) {
    const fallback = known.get(key);
    if (fallback === undefined) {
      throw new Error(`${architecture} has no option "${key}"; it has ${[...known.keys()].join(', ')}`);
    }
    if (typeof value !== typeof fallback) {
      throw new Error(`${architecture}: option "${key}" must be a ${typeof fallback}, is ${JSON.stringify(value)}`);
    }
    if (typeof value === 'number' && FRACTIONS.has(key)) {
      if (value > 0 && value < 1) continue;
      throw new Error(`${architecture}: option "${key}" must be between 0 and 1, is ${value}`);
    }
    if (typeof value === 'number' && POSITIVES.has(key)) {
      if (value > 0 && value < Infinity) continue;
      throw new Error(`${architecture}: option "${key}" must be positive, is ${value}`);
    }
    if (typeof value === 'number' && !(Number.isSafeInteger(value) && value > 0)) {
      throw new Error(`${architecture}: option "${key}" must be a positive integer, is ${value}`);
    }
    const words = WORDS.get(key);
    if (typeof value === 'string' && words?.includes(value) === false) {
      throw new Error(`${architecture}: option "${key}" must be one of ${words.join(', ')}, is "${value}"`);
    }
  }
  return { ...defaults, ...given };
}

/** Throws Error naming the option unless its value `fits`. `mustBe` says what would: "must be …". */
export function requireOption(
  architecture: string,
  option: string,
  value: number | string,
  { fits, mustBe }: { readonly fits: boolean; readonly mustBe: string },
): void {
  const is = typeof value === 'string' ? `"${value}"` : value;
  if (!fits) throw new Error(`${architecture}: option "${option}" must be ${mustBe}, is ${is}`);
}
