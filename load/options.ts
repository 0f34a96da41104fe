/** Parsers for numbers of the command line. Each throws an OperatorError that names the option. */
import { OperatorError } from '../src/errors.js';

export const positive =
  (option: string) =>
  (word: string): number => {
    const value = Number(word);
    if (!(value > 0 && value < Infinity)) throw new OperatorError(`${option} ${word}: must be a positive number`);
    return value;
  };

export function whole(option: string, word: string): number {
  const value = positive(option)(word);
  if (!Number.isInteger(value)) throw new OperatorError(`${option} ${word}: must be a whole number`);
  return value;
}
