/**
 * How photos are prepared for an imported net: what somebody states wins over what the source says, and the rest is a
 * guess, which is told. Pure.
 */
import { shortSide } from '../../maps/input-plan.js';
import type { InputPreset, Manifest } from '../manifest.js';

/** A guess, and where it comes from. */
export interface Guess {
  readonly input: Omit<InputPreset, 'size' | 'resize'>;
  /** The side that is cut out, as a part of the short side. */
  readonly crop: number;
  /** What the guess follows from: `most nets in PyTorch take that`. */
  readonly because: string;
}

export interface InputChoice {
  readonly input: InputPreset;
  /** The fields that nobody states. */
  readonly guessed: readonly (keyof InputPreset)[];
}

/** What every source of fields has to say. */
export interface InputSources {
  readonly stated: Partial<InputPreset>;
  readonly known: Partial<InputPreset>;
  readonly guess: Guess;
  /** The side for a net that nothing is known of. */
  readonly usualSize: number;
}

/** Choose each field of the preprocessing. */
export function chooseInput({ stated, known, guess, usualSize }: InputSources): InputChoice {
  const guessed: (keyof InputPreset)[] = [];
  const pick = <K extends keyof InputPreset>(field: K, other: () => InputPreset[K]): InputPreset[K] => {
    const value = stated[field] ?? known[field];
    if (value !== undefined) return value;
    guessed.push(field);
    return other();
  };
  const size = pick('size', () => usualSize);
  const short = shortSide(size);
  const { resize: knownResize } = known;
  const scaled =
    knownResize === undefined ? undefined : Math.round((knownResize * short) / shortSide(known.size ?? size));
  if (stated.resize === undefined && scaled === undefined) guessed.push('resize');
  const resize = stated.resize ?? scaled ?? Math.round(short / guess.crop);
  const knownFit = stated.fit ?? known.fit;
  const fit = knownFit ?? guess.input.fit;
  if (knownFit === undefined && fit !== undefined) guessed.push('fit');
  const input: InputPreset = {
    size,
    ...(fit !== undefined && { fit }),
    resize,
    interpolation: pick('interpolation', () => guess.input.interpolation),
    channels: pick('channels', () => guess.input.channels),
    range: pick('range', () => guess.input.range),
    mean: pick('mean', () => guess.input.mean),
    std: pick('std', () => guess.input.std),
  };
  return { input, guessed };
}

const IMAGENET: Guess = {
  input: {
    interpolation: 'bilinear',
    channels: 'RGB',
    range: 255,
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
  },
  crop: 224 / 256,
  because: "most nets trained in PyTorch take ImageNet's mean and deviation",
};

/** Whose published weights, TensorFlow's, take numbers from −1 to 1 (timm's and Cadene's settings). */
const FROM_TENSORFLOW = /^inception_(v4|resnet_v2)$/;

/** Keras' preprocess_input: keras/src/applications/imagenet_utils.py, its modes. */
const KERAS_MODES = {
  tf: { ...IMAGENET.input, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  caffe: { ...IMAGENET.input, channels: 'BGR', range: 1, mean: [103.939, 116.779, 123.68], std: [1, 1, 1] },
  torch: IMAGENET.input,
  none: { ...IMAGENET.input, range: 1, mean: [0, 0, 0], std: [1, 1, 1] },
  unit: { ...IMAGENET.input, mean: [0, 0, 0], std: [1, 1, 1] },
} satisfies Record<string, Guess['input']>;

/** The modes of Keras' applications, by their models' names. The first that matches counts. */
const KERAS_NETS: readonly (readonly [name: RegExp, mode: keyof typeof KERAS_MODES])[] = [
  [/resnet\d*_?v2|inception|xception|nasnet|mobilenet_?(?!_?v3)/i, 'tf'],
  [/mobilenet_?v3|efficientnet|convnext|regnet|resnet[-_]?rs/i, 'none'],
  [/densenet/i, 'torch'],
  [/vgg|resnet/i, 'caffe'],
];

/** What is known of a net beside its file. */
export interface GuessedFrom {
  /** Those of a Keras model and of the models inside of it; undefined for nets of other libraries. */
  readonly names?: readonly string[] | undefined;
  readonly isGrey?: boolean;
  /** Its graph scales pixels itself, so no preprocessing of an application of Keras comes before it. */
  readonly scalesItself?: boolean;
}

/** The guess for a net. */
export function guessInput(
  { architecture, weights }: Pick<Manifest, 'architecture' | 'weights'>,
  { names, isGrey = false, scalesItself = false }: GuessedFrom = {},
): Guess {
  const guess =
    names !== undefined && scalesItself
      ? keras('none', 'its graph scales pixels itself')
      : guessOfThree({ architecture, weights }, names);
  if (!isGrey) return guess;
  const input = { ...guess.input, channels: 'GRAY', range: 255, mean: [0], std: [1] } satisfies Guess['input'];
  return { ...guess, input, because: 'nets for grey pictures often take numbers from 0 to 1' };
}

function guessOfThree(
  { architecture, weights }: Pick<Manifest, 'architecture' | 'weights'>,
  names?: readonly string[],
): Guess {
  const isHdf5 = /\.(h5|hdf5)$/i.test(weights.file);
  const asKeras = names ?? (isHdf5 ? [architecture.replace('preresnet', 'resnetv2')] : undefined);
  if (asKeras === undefined) {
    if (!FROM_TENSORFLOW.test(architecture)) return IMAGENET;
    const input = { ...IMAGENET.input, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] } satisfies Guess['input'];
    return { ...IMAGENET, input, because: 'its published weights take that' };
  }
  for (const [pattern, mode] of KERAS_NETS) {
    const name = asKeras.find((each) => pattern.test(each));
    if (name !== undefined) return keras(mode, `Keras' ${name.slice(0, 60)} takes that`);
  }
  return keras('unit', 'nets trained in Keras often take numbers from 0 to 1');
}

function keras(mode: keyof typeof KERAS_MODES, because: string): Guess {
  // Keras' own loaders resize to the input's size, whatever the photo's shape.
  return { input: { ...KERAS_MODES[mode], fit: 'stretch' }, crop: 1, because };
}
