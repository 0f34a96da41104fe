/**
 * What a loaded model takes: the bytes of its weights, for each open session, as many times as the engine copies them.
 * What its runs take is another matter (memory.ts): activations are there only while something runs.
 */
import type { CompiledModel } from './compile.js';
import { KEPT_PARAMETERS } from './session-writer.js';

/** How an engine holds weights. */
export interface WeightCopies {
  /** Processes that each open every session. */
  readonly processes: number;
  /** All of them map the weights of large nets from one file: those are in memory once. */
  readonly isMapped: boolean;
}

export const ONE_COPY: WeightCopies = { processes: 1, isMapped: false };

/** The `dense` session of a larger model is opened on first use: it doubles the memory (gigabytes for a VGG). */
export const EAGER_PARAMETERS = 1e7;

const FLOAT_BYTES = 4;

/** Of one session of a loaded model. */
export function sessionBytes({ parameters, precision }: CompiledModel, copies: WeightCopies): number {
  return copiesOf(parameters, copies) * parameters * (precision === 'int8' ? 1 : FLOAT_BYTES);
}

/** Of a model that has not been loaded yet, with the sessions that are opened at its load. `stored`: bytes of its weights. */
export function expectedBytes(stored: number, copies: WeightCopies): number {
  const parameters = stored / FLOAT_BYTES;
  const sessions = parameters <= EAGER_PARAMETERS ? 2 : 1;
  return Math.ceil(sessions * copiesOf(parameters, copies) * stored);
}

function copiesOf(parameters: number, { processes, isMapped }: WeightCopies): number {
  return isMapped && parameters >= KEPT_PARAMETERS ? 1 : processes;
}
