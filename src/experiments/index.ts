/**
 * The experiments by name, what each shows and takes. An experiment is a file, which is loaded when it is run:
 *
 *     const lab = createLab(readConfig({ FULLCONV_MODELS: 'models' }));
 *     const report = await runExperiment('arithmetic', lab, { model: ['vgg16'], size: [512] });
 *     await lab.close();
 */
import { OperatorError } from '../errors.js';
import { GraphError } from '../graph/graph-error.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions, OptionName } from './options.js';
import type { Findings, Report } from './report.js';

export interface Experiment {
  /** What it shows, as a clause: for lists and help. */
  readonly summary: string;
  /** What is to be named as the images; absent: nothing. */
  readonly images?: { readonly about: string; readonly isNeeded: boolean };
  readonly options: readonly OptionName[];
  readonly load: () => Promise<Run>;
}

/**
 * Runs an experiment in a lab, which stays open. Throws OperatorError where a model or the images do not fit, and
 * UsageError where the options do not.
 */
export type Run = (lab: Lab, options: ExperimentOptions) => Promise<Findings>;

const LABELLED = 'a folder of labelled images';

export const EXPERIMENTS = {
  arithmetic: {
    summary: 'the size of every layer for any input, and how it comes about',
    options: ['model', 'size'],
    load: async () => (await import('./arithmetic.js')).arithmetic,
  },
  slide: {
    summary: 'a fully connected layer is a convolution: the class map beside the classifier on each window',
    images: { about: 'a photograph', isNeeded: true },
    options: ['model', 'size', 'class'],
    load: async () => (await import('./slide.js')).slide,
  },
  rescale: {
    summary: 'one photograph at several scales, and where the answer stays right',
    images: { about: 'a photograph; its class may be in its name, as an id', isNeeded: true },
    options: ['model', 'scale', 'class'],
    load: async () => (await import('./rescale.js')).rescale,
  },
  shift: {
    summary: 'how far the logits move when the photograph does, by the kind of head',
    images: { about: LABELLED, isNeeded: true },
    options: ['model', 'count', 'shift'],
    load: async () => (await import('./shift.js')).shift,
  },
  activations: {
    summary: 'activation functions with their derivatives, and the share of channels that have died',
    images: { about: LABELLED, isNeeded: false },
    options: ['model', 'count', 'alpha'],
    load: async () => (await import('./activations.js')).activations,
  },
  identity: {
    summary: 'a plain net inside of a deeper one, whose other layers are the identity',
    options: ['model'],
    load: async () => (await import('./identity.js')).identity,
  },
  lesion: {
    summary: 'what a net loses when it loses blocks, or their order (Veit 2016)',
    images: { about: LABELLED, isNeeded: true },
    options: ['model', 'count'],
    load: async () => (await import('./lesion.js')).lesion,
  },
  paths: {
    summary: 'how many paths lead through a residual net, how long they are, and which count (Veit 2016)',
    images: { about: 'a folder of labelled images, to measure on; of them 16, or --count', isNeeded: false },
    options: ['model', 'count'],
    load: async () => (await import('./paths.js')).paths,
  },
  responses: {
    summary: 'how much the response of each 3×3 layer varies (He 2016)',
    images: { about: LABELLED, isNeeded: true },
    options: ['model', 'count'],
    load: async () => (await import('./responses.js')).responses,
  },
  refine: {
    summary: "what a net's head says after each block of the last stage (Greff 2017)",
    images: { about: LABELLED, isNeeded: true },
    options: ['model', 'count'],
    load: async () => (await import('./refine.js')).refine,
  },
  width: {
    summary: 'what depth and width cost: parameters, multiply-adds and time of wide residual nets',
    options: ['model', 'batch', 'runs'],
    load: async () => (await import('./width.js')).width,
  },
  accuracy: {
    summary: 'top-1 accuracy over multiply-adds, for all models that are there',
    images: { about: LABELLED, isNeeded: true },
    options: ['model', 'count'],
    load: async () => (await import('./accuracy.js')).accuracy,
  },
} as const satisfies Readonly<Record<string, Experiment>>;

export type ExperimentName = keyof typeof EXPERIMENTS;

/** The experiments in the order of the table. */
export const EXPERIMENT_LIST: readonly (Experiment & { readonly name: ExperimentName })[] = (
  Object.entries(EXPERIMENTS) as [ExperimentName, Experiment][]
).map(([name, experiment]) => ({ ...experiment, name }));

/**
 * Run an experiment; the report says what it ran on. Throws as Run does; OperatorError also for a net that has not what is
 * measured.
 */
export async function runExperiment(name: ExperimentName, lab: Lab, options: ExperimentOptions): Promise<Report> {
  const run = await EXPERIMENTS[name].load();
  const findings = await run(lab, options).catch((error: unknown) => {
    throw error instanceof GraphError ? new OperatorError(error.message, { cause: error }) : error;
  });
  return { experiment: name, ...findings, ground: await lab.ground() };
}
