/** The report of `npm run load:sizes`. */
import type { Machine } from './report.js';

export interface SizesReport {
  readonly kind: 'sizes';
  readonly version: 1;
  readonly machine: Machine;
  readonly rounds: number;
  readonly rows: readonly SizeRow[];
}

export interface SizeRow {
  readonly model: string;
  /** Pixels along a side of the input. */
  readonly side: number;
  readonly outputStride: number;
  /** One for each round; none if the server refused. */
  readonly milliseconds: number[];
  /** Peak of the server's resident memory; 0 if the system does not tell it. */
  peakMiB: number;
  /** The code of the server's refusal. */
  refused?: string;
}
