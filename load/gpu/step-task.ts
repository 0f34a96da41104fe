/** What a step's process is told, and what it tells. */
import type { Numbers, DeviceName, Row, Settings } from './report.js';
import type { StepKind } from './plan.js';

export interface StepTask {
  readonly kind: StepKind;
  readonly device?: DeviceName;
  readonly numbers?: Numbers;
  /** After which it should end by itself. */
  readonly seconds: number;
  readonly settings: Settings;
  /** Those to try; empty: all that there are. */
  readonly devices: readonly DeviceName[];
  readonly places: Places;
}

/** Folders. */
export interface Places {
  readonly models: string;
  readonly photos: string;
  readonly goldens: string;
  /** For generated weights and models in other precisions. */
  readonly cache: string;
  /** The folder of torch_limit.py. */
  readonly scripts: string;
}

/** Sent one by one, as things are found out. */
export type StepMessage =
  { readonly row: Row } | { readonly note: string } | { readonly skipped: string } | { readonly doing: string };

/** What a step has to work with. */
export interface StepContext extends StepTask {
  /** Put a row into the report. */
  put(row: Row): void;
  /** Say what is done now, in case that it does not end. */
  begin(doing: string): void;
  /** Say what was left out, or could not be done. */
  note(text: string): void;
  /** Say that there was nothing to do, and why. */
  skip(why: string): void;
  /** Seconds until it should end. */
  left(): number;
}

/** How messages and errors are told: the first line, and no stack. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().split('\n').slice(0, 4).join(' ');
}
