/** What all converters of the import have in common: from one source to the files of a model folder. */
import { OperatorError } from '../../errors.js';
import type { InputPreset, Label, Manifest } from '../manifest.js';

/** What a converter wrote, and what the source says of itself. */
export interface Conversion {
  readonly model: Pick<Manifest, 'architecture' | 'weights'> & Partial<Pick<Manifest, 'options' | 'output'>>;
  /** How many classes the net has, if that is known. */
  readonly classes?: number | undefined;
  /** In class order; undefined if the source names none. */
  readonly labels?: readonly Label[] | undefined;
  /** What the source says of its input; the rest is asked for by flags, or guessed and said. */
  readonly input?: Partial<InputPreset> | undefined;
  /** Sentences for the person who imports. */
  readonly notes: readonly string[];
}

/** What the person stated with flags and a converter may need. */
export interface Stated {
  /** A name of `fullconv architectures`. */
  readonly architecture?: string | undefined;
}

/** Write the files of the model that `file` holds into `folder`, which is empty. Throws ModelFileError or OperatorError. */
export type Converter = (file: string, folder: string, stated: Stated) => Promise<Conversion>;

/** The error for an architecture that is not built in. */
export function unknownArchitecture(name: string): OperatorError {
  return new OperatorError(`--architecture ${name}: there is no such architecture; fullconv architectures lists them`);
}
