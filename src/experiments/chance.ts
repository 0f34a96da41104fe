/** Choices that look random and are the same in every run: each depends on its seed only. */
import { generatedUniform } from '../models/networks/generated-weights.js';

/** A list in an order that the seed chooses. */
export function shuffled<T>(list: readonly T[], seed: string): T[] {
  const keys = generatedUniform(seed, list.length);
  return list
    .map((_, index) => index)
    .sort((a, b) => keys[a]! - keys[b]!)
    .map((index) => list[index]!);
}

/** A member of a list that the seed chooses; undefined of an empty one. */
export function oneOf<T>(list: readonly T[], seed: string): T | undefined {
  const [number = 0] = generatedUniform(seed, 1);
  return list[Math.floor(((number + 1) / 2) * list.length)];
}

/** Numbers of length 1 together, in a direction that the seed chooses. */
export function direction(count: number, seed: string): Float32Array {
  const numbers = generatedUniform(seed, count);
  const length = Math.sqrt(numbers.reduce((sum, number) => sum + number * number, 0));
  return Float32Array.from(numbers, (number) => number / length);
}
