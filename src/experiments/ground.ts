/** What an experiment ran on: without it a figure is none. */
import { cpus } from 'node:os';
import { coreCount } from '../cores.js';
import { VERSION } from '../version.js';

export interface Ground {
  readonly models: readonly UsedModel[];
  /** Absent if nothing was run. */
  readonly engine?: string;
  readonly device?: string;
  readonly processor: string;
  readonly cores: number;
  /** The day, as 2026-11-30. */
  readonly date: string;
  /** Of fullconv. */
  readonly version: string;
  readonly images?: UsedImages;
}

/** Only the name of an architecture without weights. */
export interface UsedModel {
  readonly name: string;
  readonly version?: string;
  /** sha256 over manifest, labels and weights, hexadecimal. */
  readonly digest?: string;
  /** In which the experiment computed it. */
  readonly precision?: string;
}

export interface UsedImages {
  /** The folder or file, as it was named. */
  readonly from: string;
  readonly count: number;
}

/** This machine, today. */
export function thisMachine(): Pick<Ground, 'processor' | 'cores' | 'date' | 'version'> {
  return {
    processor: cpus()[0]?.model ?? 'unknown processor',
    cores: coreCount(),
    date: new Date().toISOString().slice(0, 10),
    version: VERSION,
  };
}
