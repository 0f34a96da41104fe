/**
 * Options of an architecture as a manifest gives them: checked against the defaults, whose keys are what the
 * architecture knows and whose types are what it takes.
 */

/** What the builder of an architecture varies; see the options of each family's file for the keys. */
export type ArchitectureOptions = Readonly<Record<string, number | string | boolean>>;

/** What every family varies. */
export interface CommonOptions {
  readonly classes: number;
  /** One of ACTIVATIONS (layers.ts). */
  readonly activation: string;
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

/**
 * The defaults, overridden by `given`. Throws Error naming the option that the architecture does not know, that has the
 * wrong type, or that should be a positive integer.
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
    if (typeof value === 'number' && !(Number.isSafeInteger(value) && value > 0)) {
      throw new Error(`${architecture}: option "${key}" must be a positive integer, is ${value}`);
    }
  }
  return { ...defaults, ...given };
}

/** `value`, known to be one of `choices`. Throws Error naming the option and what it may be. */
export function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((known) => known === value);
  if (choice === undefined) {
    throw new Error(`option "${option}" must be one of ${choices.join(', ')}, is "${value}"`);
  }
  return choice;
}
