/**
 * Options of an architecture as a manifest gives them: checked against the defaults, whose keys are what the
 * architecture knows and whose types are what it takes.
 */

/** What the builder of an architecture varies; see the options of vgg.ts and resnet.ts for the keys. */
export type ArchitectureOptions = Readonly<Record<string, number | string | boolean>>;

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
