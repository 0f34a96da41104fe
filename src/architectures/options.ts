/**
 * Options of an architecture as a manifest gives them: checked against the defaults, whose keys are what the
 * architecture knows and whose types are what it takes. An option that is a word has one of a few.
 */
import { ACTIVATIONS, type Activation } from './layers.js';
import { PADDINGS } from './padding.js';
import { STEMS } from './stem.js';

/** What the builder of an architecture varies; see the options of each family's file for the keys. */
export type ArchitectureOptions = Readonly<Record<string, number | string | boolean>>;

/** What every family varies. */
export interface CommonOptions {
  readonly classes: number;
  readonly activation: Activation;
  /**
   * Native side in pixels. It shapes the fully connected head of a VGG; a net that pools globally takes any size and
   * accepts it because every manifest has it.
   */
  readonly inputSize: number;
}

/** What the published networks for ImageNet have. */
export const IMAGENET_FORM: CommonOptions = { classes: 1000, activation: 'relu', inputSize: 224 };

/** What the published networks for CIFAR-10 have. */
export const CIFAR_FORM: CommonOptions = { classes: 10, activation: 'relu', inputSize: 32 };

const WORDS = new Map<string, readonly string[]>([
  ['activation', ACTIVATIONS],
  ['stem', STEMS],
  ['padding', PADDINGS],
]);

/** Numbers that need not be whole. */
const FRACTIONS = new Set(['epsilon']);

/**
 * The defaults, overridden by `given`. Throws Error naming the option that the architecture does not know, that has the
 * wrong type, or that should be a positive integer or another word.
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
