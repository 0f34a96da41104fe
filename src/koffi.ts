/** Calls C libraries through koffi, and is the only file that loads it. koffi is an optional dependency. */
import { createRequire } from 'node:module';
import { OperatorError } from './errors.js';

/** Its types are there, it may not be. */
export type Koffi = typeof import('koffi');
export type TypeSpec = ReturnType<Koffi['out']> | Parameters<Koffi['sizeof']>[0];

/** Throws OperatorError if it is not installed. */
export function loadKoffi(): Koffi {
  try {
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch (error) {
    const [reason] = (error as Error).message.split('\n');
    throw new OperatorError(
      `koffi, through which C libraries are called, cannot be loaded (${reason}): npm install koffi`,
    );
  }
}
