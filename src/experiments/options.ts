/**
 * What experiments may be asked for: one list for all of them, of which each takes some (index.ts). The command line makes
 * its flags of it.
 */

export interface ExperimentOptions {
  /** A folder of labelled images (evaluation/samples.ts), or the photograph that an experiment looks at. */
  readonly images?: string;
  /** Names or paths of models, or names of architectures where no answers are needed. */
  readonly model?: readonly string[];
  /** Sides of inputs, in pixels. */
  readonly size?: readonly number[];
  /** Multipliers of the model's own size. */
  readonly scale?: readonly number[];
  /** What an image shows: index, id or label. */
  readonly class?: string;
  /** The furthest that a photograph is moved, in pixels of the input. */
  readonly shift?: number;
  /** α of Leaky ReLU and of ELU. */
  readonly alpha?: number;
  /** Images of a batch, and how often it runs. */
  readonly batch?: number;
  readonly runs?: number;
  /** At most so many images, evenly spread over the folder. */
  readonly count?: number;
}

export type OptionName = Exclude<keyof ExperimentOptions, 'images'>;

/** How the text of an option is read. */
export type OptionKind = 'text' | 'words' | 'whole' | 'wholes' | 'number' | 'numbers';

export interface OptionText {
  /** As commander writes it; the placeholder names the kind of the value for completion. */
  readonly flags: string;
  readonly about: string;
  readonly kind: OptionKind;
}

export const OPTIONS: Readonly<Record<OptionName, OptionText>> = {
  model: { flags: '--model <model>', about: 'one, or several as a,b', kind: 'words' },
  size: { flags: '--size <list>', about: 'sides of the input, in pixels', kind: 'wholes' },
  scale: { flags: '--scale <list>', about: "multipliers of the model's own size", kind: 'numbers' },
  class: { flags: '--class <name>', about: 'what the photograph shows: index, id or label', kind: 'text' },
  shift: { flags: '--shift <pixels>', about: 'how far the photographs are moved; default 31', kind: 'whole' },
  alpha: { flags: '--alpha <number>', about: 'α of Leaky ReLU and of ELU; default 0.01 and 1', kind: 'number' },
  batch: { flags: '--batch <images>', about: 'images of a batch; default 16', kind: 'whole' },
  runs: { flags: '--runs <n>', about: 'how often a batch runs; default 3', kind: 'whole' },
  count: { flags: '--count <images>', about: 'how many of the images, evenly spread; default all', kind: 'whole' },
};
