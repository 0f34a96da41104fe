/**
 * The command line: every command, its arguments and options, and how it ends. The work of a command is in a file of
 * its own (commands/), which is loaded only when the command runs.
 */
import type { ClassifyFlags, HeatmapFlags, SegmentFlags } from './answers.js';
import { Command, CommanderError, Option } from 'commander';
import { SETTING_LIST, readConfig, type Config, type SettingFlags } from '../config.js';
import { UsageError } from '../errors.js';
import { EXPERIMENT_LIST } from '../experiments/index.js';
import { OPTIONS } from '../experiments/options.js';
import { DRAWINGS, LABEL_DRAWINGS, OPACITIES, PICTURE_FORMATS, SHEET_CLASSES } from '../drawing/words.js';
import { COLORMAP_NAMES, DEFAULT_COLORMAP } from '../maps/colormap.js';
import { MAP_KINDS } from '../maps/map-kinds.js';
import { EDGES } from '../maps/edges.js';
import { FITS, type Fit } from '../maps/input-plan.js';
import { MAP_SCORES } from '../maps/scores.js';
import { RANGES } from '../maps/value-range.js';
import type { InputPreset } from '../models/manifest.js';
import { SCOPES } from '../keys/keys-file.js';
import { OUTPUTS } from '../models/networks/network.js';
import type { Clipping } from '../models/quantize/clipping.js';
import { VERSION } from '../version.js';
import { meaningsOf, type Vocabulary } from '../vocabulary.js';
import type { CalibrateFlags } from './commands/calibrate.js';
import type { EvaluateFlags } from './commands/evaluate.js';
import type { LocalizationFlags } from './commands/evaluate-localization.js';
import { errorText } from './error-text.js';
import { EXIT_HELP, exitCodeOf } from './exit-code.js';
import type { ExperimentFlags } from './commands/experiment.js';
import type { ImportFlags } from './commands/import.js';
import type { KeyFlags } from './commands/key.js';
import type { InspectFlags } from './commands/inspect.js';
import type { ListArchitecturesFlags } from './commands/list-architectures.js';
import {
  address,
  assignment,
  date,
  duration,
  experimentOption,
  notNegative,
  numbers,
  oneOf,
  part,
  positive,
  probability,
  rank,
  scopes,
  triple,
  whole,
  wholes,
  words,
} from './option-values.js';
import type { PullFlags } from './commands/pull.js';
import type { QuantizeFlags } from './commands/quantize.js';
import type { SignFlags } from './commands/sign.js';
import { SHELL_SCRIPTS, SHELLS, type Shell } from './completion/shell-scripts.js';
import { printableLines } from './terminal/printable.js';
import { PICTURE_CHOICES } from './terminal/picture-choices.js';

const program = new Command('fullconv')
  .description('Serves any image classifier as a classifier and as a dense heatmap machine.')
  .version(VERSION)
  .showHelpAfterError('(--help lists what is possible)')
  .exitOverride()
  .addHelpText('after', EXIT_HELP);

/** The options of both evaluations. The default of `fit` depends on the evaluation. */
type EvaluateAllFlags = SettingFlags &
  Omit<EvaluateFlags & LocalizationFlags, 'fit'> & { readonly localization?: boolean; readonly fit?: Fit };

/**
 * A subcommand that takes every setting as a flag. Its action gets the settings as text beside its own options;
 * configOf validates them.
 */
function command(name: string, about: string): Command {
  return settingsCommand(program, name, about);
}

function settingsCommand(parent: Command, name: string, about: string): Command {
  const sub = parent.command(name).description(about);
  for (const { name: setting, flag, variable, default: value, about: text, formerly } of SETTING_LIST) {
    const option = new Option(`${flag} <value>`, `${text} [${variable}, default ${value === '' ? 'empty' : value}]`);
    option.attributeName = () => setting;
    sub.addOption(name === 'serve' ? option : option.hideHelp());
    if (formerly === undefined) continue;
    const old = new Option(`${formerly.flag} <value>`, `the old name of ${flag}`);
    old.attributeName = () => formerly.flag;
    sub.addOption(old.hideHelp());
  }
  return sub;
}

/**
 * The settings of a command; a flag wins over the environment. With `quiet`, for commands that do not serve, only
 * errors are logged. `warn` gets a message for each setting under an old name.
 */
function configOf(flags: SettingFlags, quiet: boolean, warn = tellOnStandardError): Config {
  const environment = quiet ? { FULLCONV_LOG_LEVEL: 'error', ...process.env } : process.env;
  return readConfig(environment, flags, warn);
}

function tellOnStandardError(message: string): void {
  process.stderr.write(`fullconv: ${message}\n`);
}

/** An option's name on the command line: `outputStride` is `--output-stride`. */
function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

const CLIPPINGS: Vocabulary<Clipping> = {
  none: 'all of it',
  percentile: 'without its tails',
  error: 'by least error',
};

const INTERPOLATIONS = ['nearest', 'bilinear', 'bicubic', 'lanczos3'] satisfies InputPreset['interpolation'][];
const CHANNELS = ['RGB', 'BGR', 'GRAY'] satisfies InputPreset['channels'][];

/** The standard output of a server is its log, which may fail without end. */
let isServing = false;

command('serve', 'start the server')
  .option(
    '--model <path>',
    'serve this too, a model folder or what fullconv import takes; may be given several times',
    (path: string, others: readonly string[] | undefined) => [...(others ?? []), path],
  )
  .action(async ({ model: models = [], ...flags }: SettingFlags & { readonly model?: readonly string[] }) => {
    const { serve } = await import('../server.js');
    const { starting } = await import('./local-service.js');
    const warnings: string[] = [];
    const config = configOf(flags, false, (message) => warnings.push(message));
    isServing = true;
    await starting(serve(config, { warnings, models }));
  });

const FILES_HELP = `
Files are images, folders (all images in them and below), patterns in quotes such as 'photos/**/*.jpg', or - for the
standard input. A file that cannot be answered is reported, and stops no other.`;

/** A command that asks about images, through a local engine or a server's. */
function imageCommand(name: string, about: string): Command {
  return command(name, about)
    .argument('<files...>', 'images, folders or patterns')
    .option('--model <model>', 'model')
    .option('--size <pixels>', 'short side', whole)
    .option('--scale <list>', 'multipliers of the size', numbers, [1])
    .option('--server <url>', 'ask this server instead of loading a model', address)
    .addOption(oneOf('--picture <how>', 'how pictures are shown in the terminal', PICTURE_CHOICES, 'auto'))
    .addHelpText('after', FILES_HELP + '\n' + EXIT_HELP);
}

/** An image command whose answers are maps. */
function mapCommand(name: string, about: string): Command {
  return imageCommand(name, about)
    .option(
      '-o, --output <file>',
      'the picture of one image (.png, .webp, .avif, or - for the standard output), or the folder for those of several',
    )
    .addOption(
      oneOf(
        '--format <format>',
        "format of the pictures; default by the output's name, png in a folder",
        PICTURE_FORMATS,
      ),
    )
    .option('--width <pixels>', "width of the picture; default the photo's own", whole)
    .addOption(oneOf('--fit <fit>', 'how the image becomes the input', FITS, 'whole'))
    .option('--flip', 'also average over the mirrored image', false)
    .option('--output-stride <pixels>', "input pixels between cells; default the net's own", whole)
    .addOption(oneOf('--edge <edge>', 'where the map ends', EDGES, 'valid'))
    .addOption(oneOf('--map <kind>', "what a cell is (default the model's own, or windows)", MAP_KINDS))
    .option('--json', 'for programs: a line of JSON for each image');
}

imageCommand('classify', 'print the classes of images')
  .option('--top <k>', 'how many classes; default 5, or all if there are fewer', whole)
  .addOption(oneOf('--fit <fit>', "how the image becomes the input (default the model's own, crop or stretch)", FITS))
  .option('--json', 'for programs: a list, an entry for each image and scale')
  .action(async (files: string[], flags: ClassifyFlags & SettingFlags) => {
    const { classifyCommand } = await import('./commands/classify.js');
    await classifyCommand(configOf(flags, true), files, flags);
  });

mapCommand('heatmap', 'draw where in images a class is')
  .option(
    '--class <name>',
    'index, id, label (label:1984 if it is a number), top or none (the best of each position); default top',
  )
  .option('--top <n>', `how many of the image's best classes, for --render sheet; default ${SHEET_CLASSES}`, rank)
  .addOption(
    oneOf(
      '--scores <scores>',
      'what the map holds (default probability; in a picture, what the model says)',
      MAP_SCORES,
    ),
  )
  .addOption(oneOf('--render <mode>', 'what the picture shows', DRAWINGS, 'overlay'))
  .addOption(oneOf('--colormap <name>', 'colours of the map', COLORMAP_NAMES, DEFAULT_COLORMAP))
  .addOption(oneOf('--range <range>', 'what the colours span (default minmax for logits, else absolute)', RANGES))
  .addOption(oneOf('--opacity <opacity>', 'where the colours are most opaque', OPACITIES, 'constant'))
  .option('--legend', 'draw the bar of colours with its values below the map', false)
  .action(async (files: string[], flags: HeatmapFlags & SettingFlags) => {
    const { heatmapCommand } = await import('./commands/heatmap.js');
    await heatmapCommand(configOf(flags, true), files, flags);
  });

mapCommand('segment', 'draw which class wins at every position of images')
  .option('--min-probability <p>', 'positions whose best class is less probable stay unlabelled', probability, 0)
  .addOption(oneOf('--render <mode>', 'what the picture shows', LABEL_DRAWINGS, 'overlay'))
  .action(async (files: string[], flags: SegmentFlags & SettingFlags) => {
    const { segmentCommand } = await import('./commands/segment.js');
    await segmentCommand(configOf(flags, true), files, flags);
  });

command('models', 'list the models')
  .option('--json', 'for programs')
  .action(async (flags: { json?: boolean } & SettingFlags) => {
    const { modelsCommand } = await import('./commands/models.js');
    await modelsCommand(configOf(flags, true), flags);
  });

command('inspect', 'describe a model: its layers, its class map, the requests that it answers')
  .argument('<model or architecture>', 'also a model folder or an ONNX file')
  .option('--layers', 'list every layer, not only blocks of layers')
  .option('--size <pixels>', "side of the image that layers and map are given for; default the net's own", whole)
  .addOption(new Option('--json', 'for programs').conflicts('draw'))
  .addOption(new Option('--draw', 'draw the net as SVG, repeated blocks once').conflicts(['layers', 'size']))
  .option('--option <name=value>', 'of an architecture, as in model.json; may be given several times', assignment)
  .option('--part <layers>', 'for --draw: a block by its name, or FIRST..LAST; it is drawn in full')
  .option('-o, --output <file>', 'for --draw: the file; default the standard output')
  .action(async (model: string, flags: InspectFlags & SettingFlags) => {
    const { inspectCommand } = await import('./commands/inspect.js');
    await inspectCommand(configOf(flags, true), model, flags);
  });

command('import', 'make a model folder of a file or folder of another library')
  .argument(
    '<path>',
    'ONNX, Keras, PyTorch, TensorFlow.js, safetensors, Teachable Machine, or a folder of Hugging Face',
  )
  .option('--name <name>', "the model's name; default that of the file or folder")
  .option('--to <folder>', 'folder of models; default FULLCONV_MODELS')
  .option('--labels <file>', "names of the classes: a name a line, or JSON; imagenet for ImageNet's 1,000")
  .option('--architecture <name>', 'of weights without a net; fullconv architectures lists them')
  .option('--size <pixels>', "side of the net's input", whole)
  .option('--resize <pixels>', 'short side before the middle is cut out', whole)
  .addOption(oneOf('--fit <fit>', 'how a photo becomes the input', ['crop', 'stretch']))
  .addOption(oneOf('--interpolation <filter>', 'how photos are scaled', INTERPOLATIONS))
  .addOption(oneOf('--channels <order>', "order of the input's channels", CHANNELS))
  .option('--range <number>', 'pixels are divided by it first; 255 makes numbers from 0 to 1', positive)
  .option('--mean <numbers>', 'is subtracted then, for each channel or for all', triple)
  .option('--std <numbers>', 'divides then, for each channel or for all', triple)
  .addOption(oneOf('--output <kind>', "what the net's numbers are; default what its graph ends in", OUTPUTS))
  .option('--force', 'replace a model of that name')
  .option('--json', 'for programs')
  .action(async (path: string, flags: ImportFlags & SettingFlags) => {
    const { importCommand } = await import('./commands/import.js');
    await importCommand(configOf(flags, true), path, flags);
  });

command('pull', 'fetch pretrained weights of the catalog as a model; without a name, list the catalog')
  .argument('[weights]', 'a name of the catalog, or an architecture for the first of its weights')
  .addOption(new Option('--list', 'list the catalog').conflicts(['from', 'as', 'force']))
  .option('--from <place>', 'a mirror of the Hugging Face hub, a folder or a file [HF_ENDPOINT]')
  .option('--as <name>', "the model's name; default that of the weights")
  .option('--force', 'replace a model of that name')
  .option('--json', 'for programs')
  .action(async (name: string | undefined, flags: PullFlags & SettingFlags) => {
    const { pullCommand } = await import('./commands/pull.js');
    await pullCommand(configOf(flags, true), name, flags);
  });

/** Options that a key is made with. */
const OF_NEW_KEYS = ['scopes', 'requestsPerSecond', 'burst', 'imagesAtOnce', 'costPerMinute', 'expires'];

command('key', 'add a key to the file of keys, and print it, this once')
  .argument('[name]', 'whose key it is, for the log and the metrics')
  .addOption(
    new Option('--scopes <list>', `what it is good for: ${meaningsOf(SCOPES)}; the page needs the first two`)
      .argParser(scopes)
      .default(['infer', 'models'], 'infer,models'),
  )
  .option('--requests-per-second <n>', 'requests a second, evenly', positive)
  .option('--burst <n>', 'requests at once after a pause; default those of a second', whole)
  .option('--images-at-once <n>', 'images in the server at the same time', whole)
  .option('--cost-per-minute <gmac>', 'GMAC (10⁹ multiply-adds) a minute', positive)
  .option('--expires <date>', 'when it ends, e.g. 2027-01-31 or 2027-01-31T12:00:00Z', date)
  .addOption(new Option('--revoke', 'remove the key of this name').conflicts(['list', ...OF_NEW_KEYS]))
  .addOption(new Option('--list', 'list the keys').conflicts([...OF_NEW_KEYS]))
  .option('--json', 'for --list: for programs')
  .action(async (name: string | undefined, flags: KeyFlags & SettingFlags) => {
    const { keyCommand } = await import('./commands/key.js');
    await keyCommand(configOf(flags, true), name, flags);
  });

command('calibrate', 'fit the temperature that makes probabilities say how often answers are right')
  .argument('<folder>', 'labelled images that the model was not trained on, as for evaluate')
  .option('--model <model>', 'a model, or a path; default the default model')
  .option('--count <images>', 'how many of them, at most', whole, 10_000)
  .option('--others <folder>', 'images of none of its classes: how well they can be told apart')
  .option(
    '--accuracy <share>',
    'top-1 accuracy, a number below 1, where the model will be used, if these images are easier or harder: right and wrong answers count in this proportion',
    part,
  )
  .option('--size <pixels>', "short side; default the model's own", whole)
  .addOption(oneOf('--fit <fit>', "how the image becomes the input (default the model's own)", FITS))
  .option('--write', "write it into the model's model.json")
  .option('--json', 'for programs')
  .action(async (folder: string, flags: CalibrateFlags & SettingFlags) => {
    const { calibrateCommand } = await import('./commands/calibrate.js');
    await calibrateCommand(configOf(flags, true), folder, flags);
  });

command('quantize', 'make an 8-bit integer model, calibrated on images')
  .argument('<model>', 'a model or a model folder')
  .requiredOption('--images <folder>', 'images like those that the model will see, no labels needed')
  .option('--count <images>', 'how many of them', whole, 256)
  .option('--as <name>', "the new model's name; default the model's name with -int8")
  .addOption(oneOf('--clip <method>', "how a value's range is chosen", CLIPPINGS, 'error'))
  .option('--force', 'replace a model of that name, and write the model even if its answers differ')
  .option('--json', 'for programs')
  .action(async (model: string, flags: QuantizeFlags & SettingFlags) => {
    const { quantizeCommand } = await import('./commands/quantize.js');
    await quantizeCommand(configOf(flags, true), model, flags);
  });

program
  .command('architectures')
  .description('list the architectures that can be built by name')
  .addOption(new Option('--markdown', 'as docs/architectures.md').conflicts('json'))
  .option('--json', 'for programs')
  .action(async (flags: ListArchitecturesFlags) => {
    const { listArchitecturesCommand } = await import('./commands/list-architectures.js');
    listArchitecturesCommand(flags);
  });

program
  .command('sign')
  .description('print an address of GET /v1/…?url= with a signature of the first key in FULLCONV_URL_KEYS')
  .argument(
    '<address>',
    "in quotes, e.g. 'https://example.com/v1/heatmap?url=https%3A%2F%2Fimages.example.com%2Fcat.jpg'",
  )
  .option('--expires-in <time>', 'how long it holds: a number with s, m, h or d behind it', duration, 86_400)
  .action(async (signed: string, flags: SignFlags) => {
    const { signCommand } = await import('./commands/sign.js');
    signCommand(signed, flags, configOf({}, true).urlKeys);
  });

const OF_LOCALIZATION = [
  ...['annotations', 'categories', 'tolerance', 'scale', 'flip', 'outputStride', 'edge', 'scores'],
] as const satisfies readonly (keyof LocalizationFlags)[];

command('evaluate', 'measure top-1 and top-5 on labelled images, or how well heatmaps point on annotated ones')
  .argument('<folder>', 'one folder for each class, or files with a class id in their names, or val_annotations.txt')
  .option('--model <model>', 'one, or several as a,b', words)
  .option('--size <list>', "short sides; default the model's own", wholes)
  .addOption(
    oneOf('--fit <fit>', "how the image becomes the input (default the model's own, with --localization whole)", FITS),
  )
  .option(
    '--localization',
    'measure pointing game, MaxBoxAccV2 and PxAP of heatmaps on photographs with boxes or masks',
  )
  .option('--annotations <file>', 'for --localization: the objects; default annotations.json in the folder')
  .option(
    '--categories <file>',
    'for --localization: JSON with the classes of each category; default the class of its name',
  )
  .option('--tolerance <pixels>', 'for --localization: how far from the object the peak may be', notNegative, 15)
  .option('--scale <list>', 'for --localization: multipliers of the size, averaged', numbers, [1])
  .option('--flip', 'for --localization: also average over the mirrored image', false)
  .option('--output-stride <pixels>', "for --localization: input pixels between cells; default the net's own", whole)
  .addOption(oneOf('--edge <edge>', 'for --localization: as for heatmap', EDGES, 'valid'))
  .addOption(oneOf('--scores <scores>', 'for --localization: what the maps hold', MAP_SCORES, 'probability'))
  .option('--json', 'for programs')
  .action(async (folder: string, { localization, fit, ...flags }: EvaluateAllFlags, sub: Command) => {
    const unused = OF_LOCALIZATION.find((name) => sub.getOptionValueSource(name) === 'cli');
    if (localization !== true && unused !== undefined) throw new UsageError(`${flagOf(unused)} is for --localization.`);
    const config = configOf(flags, true);
    if (localization === true) {
      const { evaluateLocalizationCommand } = await import('./commands/evaluate-localization.js');
      await evaluateLocalizationCommand(config, folder, { ...flags, fit: fit ?? 'whole' });
    } else {
      const { evaluateCommand } = await import('./commands/evaluate.js');
      await evaluateCommand(config, folder, { ...flags, fit });
    }
  });

const experiments = program
  .command('experiment')
  .description('repeat an experiment of the literature on a model, as a table, JSON and plots');

for (const { name, summary, images, options } of EXPERIMENT_LIST) {
  const experiment = settingsCommand(experiments, name, summary);
  if (images !== undefined) experiment.argument(images.isNeeded ? '<images>' : '[images]', images.about);
  for (const option of options) experiment.addOption(experimentOption(OPTIONS[option]));
  experiment
    .option('-o, --output <folder>', 'write report.json, report.md and the plots into it')
    .option('--json', 'for programs')
    .action(async (...given: unknown[]) => {
      // commander gives the arguments, then the options.
      const path = images === undefined ? undefined : (given[0] as string | undefined);
      const flags = given[images === undefined ? 0 : 1] as ExperimentFlags & SettingFlags;
      const { experimentCommand } = await import('./commands/experiment.js');
      await experimentCommand(configOf(flags, true), name, path, flags);
    });
}

program
  .command('completion')
  .description('print the completion script of a shell; its first line says how to use it')
  .addArgument(program.createArgument('<shell>').choices(SHELLS))
  .action((shell: Shell) => void process.stdout.write(SHELL_SCRIPTS[shell]));

program.command('complete [words...]', { hidden: true }).action(async (typed: string[]) => {
  const { completionText } = await import('./completion/complete.js');
  const { completionNames } = await import('./completion/completion-names.js');
  const models = typed[typed.indexOf('--models') + 1 || typed.length];
  // A warning would disturb the line that is being typed.
  const { models: folder } = configOf(models === undefined ? {} : { models }, true, () => undefined);
  process.stdout.write(await completionText(program, typed, completionNames(folder)));
});

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that stops early, as `head` does, is no failure.
    if (error.code === 'EPIPE' || isServing) return;
    if (stream === process.stdout) process.stderr.write(`fullconv: ${printableLines(errorText(error))}\n`);
    process.exit(exitCodeOf(error));
  });
}

try {
  await program.parseAsync();
} catch (error) {
  // commander has already printed its own errors.
  if (!(error instanceof CommanderError)) process.stderr.write(`fullconv: ${printableLines(errorText(error))}\n`);
  process.exitCode = exitCodeOf(error);
}
