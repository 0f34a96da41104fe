/** What a load test measures, and the command line that says so. */
import { parseArgs } from 'node:util';
import { ARCHITECTURE_NAMES, isArchitecture } from '../src/architectures/index.js';
import { OperatorError } from '../src/errors.js';
import { positive, whole } from './options.js';
import { ENGINE_NAMES } from '../src/runtime/engines.js';

const VIEWS = ['classify', 'heatmap'] as const;
export type MeasuredView = (typeof VIEWS)[number];

const PRECISIONS = ['fp32', 'int8'] as const;
export type Precision = (typeof PRECISIONS)[number];

/** An engine to measure, in place of that of the settings. */
export interface EngineChoice {
  /** As it was asked for, e.g. `tensorflow/wasm`. */
  readonly name: string;
  /** Settings by variable. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface Scenario {
  /** Names of models, or of architectures to serve untrained. */
  readonly models: readonly string[];
  /** All there are: one that is missing has its row, too. */
  readonly every: boolean;
  readonly precisions: readonly Precision[];
  /** Every group is measured on each, one after the other; empty: on the settings' engine. */
  readonly engines: readonly EngineChoice[];
  readonly views: readonly MeasuredView[];
  /** Each is measured by itself: `photos` as they are, a size as `640x480`, or `mixed`, six sizes at once. */
  readonly sizes: readonly string[];
  /** Ask all models at once, not one after the other. */
  readonly mixedModels: boolean;
  /** Clients that each send the next photo as soon as they have the answer (closed loop). */
  readonly concurrency: readonly number[];
  /** Offered load of the open loop, as parts of what the closed loop reached; empty: no open loop. */
  readonly shares: readonly number[];
  /** Seconds of measurement for each row, spread over the rounds. */
  readonly durationS: number;
  /** Every row is measured this many times, all measurements interleaved; the tables show medians. */
  readonly rounds: number;
  /** Models that one server serves, and whose rounds are interleaved. */
  readonly together: number;
  /** Seed of the arrivals and of the order of the images. */
  readonly seed: number;
  /** Folder of photographs. */
  readonly photos: string;
  /** Base name of the files written under load/results; undefined: print only. */
  readonly output: string | undefined;
}

/** The sizes of `mixed`, each of another shape: no two of them may share a batch of heatmaps. */
export const MIXED_SIZES = ['320x240', '480x320', '640x512', '960x960', '1280x720', '1500x2000'];

export const SAMPLES = 'test/fixtures/photos';
export const EMBEDDED = ['imagenet-efficientnet-lite0', 'tinyimagenet-resnet18-w48', 'tinyimagenet-vgg11bn-w32'];

/** How thoroughly rows are measured where the command line does not say it: some models, and all of them. */
const THOROUGH = { duration: '15', rounds: '5', openLoop: '0.5,0.7,0.9' };
const BRIEF = { duration: '2', rounds: '1', openLoop: 'none' };

const HELP = `npm run load -- [options]
  --models LIST       models, or architectures to serve untrained; all: the embedded models and every architecture,
                      --duration 2 --rounds 1 --open-loop none where nothing else is said
                      (${EMBEDDED.join(',')},resnet50,vgg16)
  --precision LIST    fp32, int8; the int8 form of a model is the one named NAME-int8, or made for the test (fp32)
  --engines LIST      engines to compare, with a device: onnxruntime,tensorflow/wasm (the settings')
  --view LIST         classify, heatmap (classify)
  --sizes LIST        photos: as they are, 640x480: made to that size, mixed: six sizes at once (photos)
  --mixed-models      ask all models at once
  --concurrency LIST  clients of the closed loop (32)
  --open-loop LIST    offered load as parts of the closed loop's images a second; none (0.5,0.7,0.9)
  --duration S        seconds for each row (15)
  --rounds N          interleaved rounds (5)
  --together N        models that one server serves, and that are interleaved (4)
  --seed N            seed of the arrivals (1)
  --photos DIR        photographs to send (${SAMPLES})
  --output NAME       also write load/results/NAME.json, NAME.md and NAME-*.svg
`;

/**
 * Read the command line. Prints the help and returns undefined if asked for it. Throws OperatorError for a wrong value,
 * and parseArgs' own error for an option that does not exist.
 */
export function readScenario(args: string[]): Scenario | undefined {
  const { values } = parse(args);
  if (values.help) {
    process.stdout.write(HELP);
    return undefined;
  }
  const every = values.models === 'all';
  const effort = every ? BRIEF : THOROUGH;
  const openLoop = values['open-loop'] ?? effort.openLoop;
  return {
    models: every ? [...EMBEDDED, ...ARCHITECTURE_NAMES] : words(values.models),
    every,
    precisions: words(values.precision).map((word) => oneOf('--precision', word, PRECISIONS)),
    engines: words(values.engines).map(parseEngine),
    views: words(values.view).map((word) => oneOf('--view', word, VIEWS)),
    sizes: words(values.sizes).map(parseSize),
    mixedModels: values['mixed-models'],
    concurrency: words(values.concurrency).map((word) => whole('--concurrency', word)),
    shares: openLoop === 'none' ? [] : words(openLoop).map(positive('--open-loop')),
    durationS: positive('--duration')(values.duration ?? effort.duration),
    rounds: whole('--rounds', values.rounds ?? effort.rounds),
    together: whole('--together', values.together),
    seed: whole('--seed', values.seed),
    photos: values.photos,
    output: values.output,
  };
}

function parse(args: string[]) {
  return parseArgs({
    args,
    options: {
      models: { type: 'string', default: [...EMBEDDED, 'resnet50', 'vgg16'].join(',') },
      precision: { type: 'string', default: 'fp32' },
      engines: { type: 'string', default: '' },
      view: { type: 'string', default: 'classify' },
      sizes: { type: 'string', default: 'photos' },
      'mixed-models': { type: 'boolean', default: false },
      concurrency: { type: 'string', default: '32' },
      'open-loop': { type: 'string' },
      duration: { type: 'string' },
      rounds: { type: 'string' },
      together: { type: 'string', default: '4' },
      seed: { type: 'string', default: '1' },
      photos: { type: 'string', default: SAMPLES },
      output: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
}

function words(list: string): string[] {
  return [...new Set(list.split(',').filter((word) => word !== ''))];
}

function oneOf<T extends string>(option: string, word: string, known: readonly T[]): T {
  const found = known.find((each) => each === word);
  if (found === undefined) throw new OperatorError(`${option} ${word}: must be one of ${known.join(', ')}`);
  return found;
}

function parseEngine(word: string): EngineChoice {
  const [engine = '', device = 'cpu'] = word.split('/');
  const known = oneOf('--engines', engine, ENGINE_NAMES);
  return { name: word, settings: { FULLCONV_ENGINE: known, FULLCONV_DEVICE: device } };
}

function parseSize(word: string): string {
  if (word === 'photos' || word === 'mixed' || /^[1-9]\d{0,4}x[1-9]\d{0,4}$/.test(word)) return word;
  throw new OperatorError(`--sizes ${word}: must be photos, mixed, or a size such as 640x480`);
}

/** One model asked with images of one kind. */
export interface Part {
  /** The name that it is served under. */
  readonly model: string;
  /** `photos`, or a size. */
  readonly size: string;
}

/** The requests to the server at one time: one part, or several in equal shares. */
export interface Subject {
  readonly models: readonly string[];
  readonly precision: Precision;
  readonly view: MeasuredView;
  readonly sizes: string;
  readonly parts: readonly Part[];
}

/** The models of one server, whose rounds are interleaved. */
export interface Group {
  readonly architectures: readonly string[];
  /** Other models, of the folder FULLCONV_MODELS. */
  readonly models: readonly string[];
  readonly subjects: readonly Subject[];
}

/**
 * Groups of a few models, so that neither memory nor disk has to hold all of them. Models with generated weights are
 * apart from the others, unless all are asked at once.
 */
export function groupsOf({
  models,
  together,
  mixedModels,
  ...scenario
}: Pick<Scenario, 'models' | 'precisions' | 'views' | 'sizes' | 'mixedModels' | 'together'>): Group[] {
  const groups = mixedModels
    ? [models]
    : [models.filter((name) => !isArchitecture(name)), models.filter(isArchitecture)].flatMap((names) =>
        chunks(names, together),
      );
  return groups.map((names) => {
    const architectures = names.filter(isArchitecture);
    const generated = new Set(architectures.map((name) => servedName(name, 'fp32')));
    const served = names.flatMap((name) => scenario.precisions.map((precision) => servedName(name, precision)));
    return {
      architectures,
      models: served.filter((name) => !generated.has(name)),
      subjects: (mixedModels ? [names] : names.map((name) => [name])).flatMap((each) => subjectsOf(each, scenario)),
    };
  });
}

function subjectsOf(
  names: readonly string[],
  { precisions, views, sizes }: Pick<Scenario, 'precisions' | 'views' | 'sizes'>,
): Subject[] {
  return precisions.flatMap((precision) =>
    views.flatMap((view) =>
      sizes.map((size) => {
        const models = names.map((name) => servedName(name, precision));
        const each = size === 'mixed' ? MIXED_SIZES : [size];
        const parts = models.flatMap((model) => each.map((size) => ({ model, size })));
        return { models, precision, view, sizes: size, parts };
      }),
    ),
  );
}

/** A precision is a variant of a model, served under a name of its own. */
export function servedName(name: string, precision: Precision): string {
  const model = isArchitecture(name) ? `${name}-untrained` : name;
  return precision === 'fp32' ? model : `${model}-${precision}`;
}

/** The architecture of a served model with generated weights; undefined for any other model. */
export function architectureOf(name: string): string | undefined {
  const architecture = /^(.+)-untrained$/.exec(name)?.[1];
  return architecture !== undefined && isArchitecture(architecture) ? architecture : undefined;
}

function chunks<T>(values: readonly T[], length: number): T[][] {
  return Array.from({ length: Math.ceil(values.length / length) }, (_, index) =>
    values.slice(index * length, (index + 1) * length),
  );
}
