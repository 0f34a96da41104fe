/**
 * Makes the files of a model folder from a source: what its format's converter writes, labels, and a manifest whose
 * preprocessing is stated, known or guessed. draft-thread.ts runs it on a thread of its own.
 */
import { shortSide } from '../../maps/input-plan.js';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { OperatorError } from '../../errors.js';
import { readOnnxFile } from '../files/onnx-file.js';
import { explain, ModelFileError } from '../files/model-file-error.js';
import {
  MANIFEST_FILE,
  manifestSchema,
  ONNX,
  TFJS_LAYERS,
  type InputPreset,
  type Label,
  type Manifest,
} from '../manifest.js';
import { imageChannels, isArchitecture, nativeForm } from '../../architectures/index.js';
import { readCatalog } from '../pull/catalog.js';
import type { Conversion, Stated } from './conversion.js';
import { converterOf } from './converters.js';
import { describeGraph, USUAL_SIZE, type GraphFacts } from './graph-facts.js';
import { readBesideConfig, type BesideConfig } from './hugging-face.js';
import { chooseInput, guessInput } from './input-choice.js';
import { findLabelFiles, LABELS_FILE, readLabelFile } from './label-files.js';
import { numberedLabel } from './label-text.js';
import { recognize, sourceAt } from './recognize.js';
import { FORMATS, type FormatName, type Source } from './source.js';
import { teachableInput } from './teachable-machine.js';
import { readLayersModel } from './tfjs-layers.js';
import { whileUnpacked } from './unpack.js';

/** What somebody states of a model. Plain data. */
export interface DraftOptions extends Stated {
  readonly name: string;
  /** A file with the names of the classes, or `imagenet`. */
  readonly labels?: string | undefined;
  readonly input: Partial<InputPreset>;
  readonly output?: Manifest['output'];
  /** Whether the files beside the source belong to other models. */
  readonly isAlone?: boolean;
}

/** What was written, and where it comes from. Plain data. */
export interface Draft {
  /** What the source is, in words. */
  readonly what: string;
  readonly manifest: Manifest;
  readonly labels: readonly Label[];
  /** Where the labels come from, in words; undefined if classes have numbers alone. */
  readonly labelsFrom: string | undefined;
  /** Fields of the preprocessing that are guesses, and what the guess follows from. */
  readonly guessed: readonly (keyof InputPreset)[];
  readonly guessedBecause: string;
  readonly notes: readonly string[];
}

/** Formats beside which a folder of Hugging Face may have its configuration. */
const CONFIGURED: ReadonlySet<FormatName> = new Set<FormatName>(['onnx', 'pytorch', 'safetensors']);

/** The word for ImageNet's 1,000 classes, which need no file. */
export const IMAGENET_LABELS = 'imagenet';

/** Draft the model at a path. Throws OperatorError if there is none: what lies there, and what to do with it. */
export async function importInto(path: string, folder: string, options: DraftOptions): Promise<Draft> {
  return draftModel(await sourceAt(path), folder, options);
}

/** Make the folder's files; it is empty. Throws ModelFileError or OperatorError with what is wrong. */
export async function draftModel(source: Source, folder: string, options: DraftOptions): Promise<Draft> {
  if (source.format === 'zip') {
    return whileUnpacked(source.file, folder, async (unpacked) => {
      return draftModel(await sourceInside(source.file, unpacked), folder, options);
    });
  }
  const convert = converterOf(source, options);
  const what = FORMATS[source.format];
  if (convert === undefined) throw new OperatorError(`${source.file}: is ${what}, which cannot be imported yet`);
  const conversion = await convert(source.file, folder, { architecture: options.architecture });
  const facts = await factsOf(conversion, folder);
  const beside: BesideConfig =
    CONFIGURED.has(source.format) && options.isAlone !== true ? await readBesideConfig(source.folder) : {};
  const chosen = await chooseLabels(source, options, {
    classes: conversion.classes ?? facts.classes,
    own: conversion.labels ?? beside.labels,
  });
  const { names, ...shape } = facts;
  const scalesItself = shape.pixels !== undefined;
  const guess = guessInput(conversion.model, { names, isGrey: shape.isGrey, scalesItself });
  const isTeachable = source.format === 'keras' && basename(source.file) === 'keras_model.h5' && chosen.isTeachable;
  const { input, guessed } = chooseInput({
    stated: options.input,
    known: {
      ...(shape.size !== undefined && { size: shape.size }),
      ...shape.pixels,
      ...beside.input,
      ...(isTeachable && teachableInput(shape.size === undefined ? undefined : shortSide(shape.size))),
      ...conversion.input,
    },
    guess,
    usualSize: shape.size === undefined ? usualSize(conversion) : shortSide(shape.size),
  });
  const manifest: Manifest = {
    name: options.name,
    version: '1',
    description: `Imported from ${basename(source.file)}, ${what}`,
    ...conversion.model,
    labels: LABELS_FILE,
    input,
    ...((options.output ?? conversion.model.output) && { output: options.output ?? conversion.model.output }),
  };
  refuseFaulty(source, manifest);
  await writeFile(join(folder, LABELS_FILE), JSON.stringify(chosen.labels));
  await writeFile(join(folder, MANIFEST_FILE), JSON.stringify(manifest, null, 2) + '\n');
  return {
    what,
    manifest,
    labels: chosen.labels,
    labelsFrom: chosen.from,
    guessed,
    guessedBecause: guess.because,
    notes: [
      ...conversion.notes,
      ...(beside.notes ?? []),
      ...chosen.notes,
      ...(shape.pixels?.range === input.range ? [PIXELS_NOTE] : []),
    ],
  };
}

/** The source in an unpacked archive, which stands for it in messages. */
async function sourceInside(archive: string, folder: string): Promise<Source> {
  const found = await recognize(folder);
  if (found.kind === 'source' && found.source.format !== 'zip') return found.source;
  const reason =
    found.kind === 'refused' ? `whose content ${found.reason}` : 'without a file in it that could be a model';
  throw new ModelFileError(archive, 'file', `is a zip archive ${reason}`);
}

const PIXELS_NOTE = 'its graph normalizes pixels itself; no mean is subtracted before';

type Facts = GraphFacts & { readonly names?: readonly string[] };

/** What the converted model's own graph says; nothing for weights of an architecture by name. */
async function factsOf({ model }: Conversion, folder: string): Promise<Facts> {
  const file = join(folder, model.weights.file);
  return explain(file, async (): Promise<Facts> => {
    switch (model.architecture) {
      case ONNX:
        return describeGraph((await readOnnxFile(file)).graph);
      case TFJS_LAYERS: {
        const { graph, names } = await readLayersModel(file);
        return { ...describeGraph(graph), names };
      }
      default:
        return { size: undefined, isGrey: isOfGrey(model), classes: undefined, pixels: undefined };
    }
  });
}

function isOfGrey({ architecture }: Conversion['model']): boolean {
  return isArchitecture(architecture) && imageChannels(architecture) === 1;
}

function usualSize({ model: { architecture } }: Conversion): number {
  return isArchitecture(architecture) ? nativeForm(architecture).inputSize : USUAL_SIZE;
}

function refuseFaulty({ file }: Source, manifest: Manifest): void {
  const { error } = manifestSchema.safeParse(manifest);
  if (error === undefined) return;
  const faults = error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new ModelFileError(file, 'manifest', faults.join('; '));
}

interface ChosenLabels {
  readonly labels: readonly Label[];
  readonly from: string | undefined;
  readonly notes: readonly string[];
  /** Whether they stand in a file as Teachable Machine writes it. */
  readonly isTeachable: boolean;
}

/** What is known of the classes: how many there are, and the names that the source itself has. */
interface KnownClasses {
  readonly classes: number | undefined;
  readonly own: readonly Label[] | undefined;
}

async function chooseLabels(
  source: Source,
  options: DraftOptions,
  { classes, own }: KnownClasses,
): Promise<ChosenLabels> {
  const notes: string[] = [];
  const chosen = (labels: readonly Label[], from: string | undefined, isTeachable = false): ChosenLabels => ({
    labels,
    from,
    notes,
    isTeachable,
  });
  if (options.labels !== undefined) {
    const [labels, from] = await statedLabels(options.labels);
    const fitting = fit(labels, classes);
    if (fitting !== undefined) return chosen(fitting, from);
    throw new OperatorError(
      `--labels ${options.labels}: has ${labels.length} names, but the net has ${classes ?? 0} classes`,
    );
  }
  if (own !== undefined && own.length > 0) {
    const fitting = fit(own, classes);
    if (fitting !== undefined) return chosen(fitting, 'the model itself');
    notes.push(`it names ${own.length} classes, but the net has ${classes ?? 0}: these names are left out`);
  }
  for (const { file, labels } of await findLabelFiles(source.folder, source.file, options.isAlone ?? false)) {
    const fitting = fit(labels, classes);
    if (fitting !== undefined) return chosen(fitting, basename(file), basename(file) === 'labels.txt');
    notes.push(`${basename(file)} has ${labels.length} names, but the net has ${classes ?? 0} classes: it is left out`);
  }
  if (classes === undefined) {
    throw new OperatorError(
      `${source.file}: does not tell how many classes there are; name them with --labels FILE, a name a line`,
    );
  }
  if (classes === 1000) notes.push(`if these are ImageNet's classes: --labels ${IMAGENET_LABELS}`);
  return chosen(
    Array.from({ length: classes }, (_, index) => numberedLabel(index)),
    undefined,
  );
}

async function statedLabels(stated: string): Promise<readonly [labels: readonly Label[], from: string]> {
  if (stated === IMAGENET_LABELS) return [(await readCatalog()).labels, "ImageNet's 1,000 classes"];
  return [await readLabelFile(stated), basename(stated)];
}

const BACKGROUND = /^(background|dummy|__background__)$/i;

/**
 * The labels that a net with so many classes has: these, or with or without TensorFlow's first class for the background;
 * undefined if they do not fit. A net of one number may have two classes.
 */
function fit(labels: readonly Label[], classes: number | undefined): readonly Label[] | undefined {
  if (classes === undefined || labels.length === classes || (classes === 1 && labels.length === 2)) return labels;
  if (labels.length === classes + 1 && BACKGROUND.test(labels[0]!.label)) return labels.slice(1);
  if (labels.length === 1000 && classes === 1001) return [{ id: 'background', label: 'background' }, ...labels];
  return undefined;
}
