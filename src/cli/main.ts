/**
 * The command line: `fullconv serve | classify | heatmap | models | inspect | pull | architectures | evaluate`. Each
 * command has its own file.
 */
import { Command, InvalidArgumentError, Option } from 'commander';
import { SETTING_LIST, readConfig, type Config, type SettingName } from '../config.js';
import { OperatorError, ServiceError } from '../errors.js';
import { COLORMAP_NAMES } from '../inference/colormap.js';
import type { Fit } from '../inference/input-plan.js';
import { DRAWINGS } from '../inference/draw.js';
import type { Opacity, ValueRange } from '../inference/render.js';
import type { MapScores } from '../inference/heatmap.js';
import type { Edge } from '../models/dense-views.js';
import type { Clipping } from '../models/quantize/clipping.js';
import { VERSION } from '../version.js';
import type { ClassifyFlags } from './classify.js';
import type { EvaluateFlags } from './evaluate.js';
import type { LocalizationFlags } from './evaluate-localization.js';
import type { HeatmapFlags } from './heatmap.js';
import type { InspectFlags } from './inspect.js';
import type { ListArchitecturesFlags } from './list-architectures.js';
import type { PullFlags } from './pull.js';
import type { QuantizeFlags } from './quantize.js';

const program = new Command('fullconv')
  .description('Serves any image classifier as a classifier and as a dense heatmap machine.')
  .version(VERSION)
  .showHelpAfterError();

/** The settings given as flags, still text. */
type SettingFlags = Partial<Record<SettingName, string>>;

/** Of both evaluations; which of them it is decides the default of `fit`. */
type EvaluateAllFlags = SettingFlags &
  Omit<EvaluateFlags & LocalizationFlags, 'fit'> & { readonly localization?: boolean; readonly fit?: Fit };

/** A subcommand that takes every setting as a flag. Its action gets the validated settings and its own options. */
function command(name: string, about: string): Command {
  const sub = program.command(name).description(about);
  for (const { name: setting, flag, variable, default: value, about: text } of SETTING_LIST) {
    const option = new Option(`${flag} <value>`, `${text} [${variable}, default ${value === '' ? 'empty' : value}]`);
    option.attributeName = () => setting;
    sub.addOption(name === 'serve' ? option : option.hideHelp());
  }
  return sub;
}

/** The settings of a command: its flags over the environment. Commands that do not serve log only what is wrong. */
function configOf(flags: SettingFlags, quiet: boolean): Config {
  const environment = quiet ? { FULLCONV_LOG_LEVEL: 'error', ...process.env } : process.env;
  return readConfig(environment, flags);
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a positive number.');
  return value;
}

function whole(text: string): number {
  const value = positive(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

function notNegative(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError('It must be a number of at least 0.');
  return value;
}

const numbers = (text: string): number[] => text.split(',').map(positive);
const wholes = (text: string): number[] => text.split(',').map(whole);
const words = (text: string): string[] => text.split(',').filter((word) => word !== '');

function address(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new InvalidArgumentError('It must be http://… or https://….');
  return url;
}

/** An option that takes one of a few words; its help lists them. */
function oneOf<T extends string>(flags: string, about: string, choices: readonly T[], standard: T): Option {
  return new Option(flags, about).choices(choices).default(standard);
}

const EDGES: readonly Edge[] = ['valid', 'same'];
const FITS: readonly Fit[] = ['crop', 'whole', 'native', 'stretch'];
const OPACITIES: readonly Opacity[] = ['constant', 'value'];
const MAP_SCORES: readonly MapScores[] = ['probability', 'logit', 'normalized'];
const CLIPPINGS: readonly Clipping[] = ['none', 'percentile', 'error'];
const RANGES: readonly ValueRange[] = ['absolute', 'minmax'];

command('serve', 'start the server').action(async (flags: SettingFlags) => {
  const { serve } = await import('../server.js');
  await serve(configOf(flags, false));
});

command('classify', 'print the classes of images')
  .argument('<files...>')
  .option('--model <name>', 'model')
  .option('--top <k>', 'how many classes', whole, 5)
  .addOption(oneOf('--fit <fit>', 'how the image becomes the input', FITS, 'crop'))
  .option('--size <pixels>', 'short side', whole)
  .option('--scale <list>', 'multipliers of the size', numbers, [1])
  .option('--server <url>', 'ask this server instead of loading a model', address)
  .option('--json', 'for programs')
  .action(async (files: string[], flags: ClassifyFlags & SettingFlags) => {
    const { classifyCommand } = await import('./classify.js');
    await classifyCommand(configOf(flags, true), files, flags);
  });

command('heatmap', 'write the heatmap of an image as a picture')
  .argument('<file>')
  .requiredOption('-o, --output <file>', 'the picture to write: .png, .webp or .avif')
  .option('--model <name>', 'model')
  .option('--class <name>', 'index, id, label, top or none (the best of each position); default top')
  .option('--top <n>', "the image's own best classes, for --render sheet; default 3", whole)
  .addOption(oneOf('--fit <fit>', 'how the image becomes the input', FITS, 'whole'))
  .option('--size <pixels>', 'short side', whole)
  .option('--scale <list>', 'multipliers of the size', numbers, [1])
  .option('--flip', 'also average over the mirrored image', false)
  .option('--output-stride <pixels>', "input pixels between cells; default the net's own", whole)
  .addOption(oneOf('--edge <edge>', 'windows inside of the last map, or a map that covers the image', EDGES, 'valid'))
  .addOption(oneOf('--scores <scores>', 'what the map holds', MAP_SCORES, 'probability'))
  .addOption(
    oneOf(
      '--render <mode>',
      'over the photo, alone, as lines, as 16-bit values, or several beside the photo',
      DRAWINGS,
      'overlay',
    ),
  )
  .addOption(oneOf('--colormap <name>', 'colours of the map', COLORMAP_NAMES, 'inferno'))
  .addOption(
    new Option('--range <range>', "colours span 0 to 1, or the map's own extremes; default minmax for logits").choices(
      RANGES,
    ),
  )
  .addOption(oneOf('--opacity <opacity>', 'everywhere alike, or by the value', OPACITIES, 'constant'))
  .option('--legend', 'the bar of colours with its values, below the map', false)
  .option('--width <pixels>', "of the picture; default the photo's own", whole)
  .option('--server <url>', 'ask this server instead of loading a model', address)
  .option('--json', 'print the peak and box for programs')
  .action(async (file: string, flags: HeatmapFlags & SettingFlags) => {
    const { heatmapCommand } = await import('./heatmap.js');
    await heatmapCommand(configOf(flags, true), file, flags);
  });

command('models', 'list the models')
  .option('--json', 'for programs')
  .action(async (flags: { json?: boolean } & SettingFlags) => {
    const { modelsCommand } = await import('./models.js');
    await modelsCommand(configOf(flags, true), flags);
  });

command('inspect', 'describe a model: its layers, its class map, what can be asked of it')
  .argument('<model>', 'a model, an architecture, a model folder or an ONNX file')
  .option('--layers', 'every layer, not only the blocks that they form')
  .option('--json', 'for programs')
  .action(async (model: string, flags: InspectFlags & SettingFlags) => {
    const { inspectCommand } = await import('./inspect.js');
    await inspectCommand(configOf(flags, true), model, flags);
  });

command('pull', 'fetch pretrained weights of the catalog as a model; without a name, list the catalog')
  .argument('[name]', 'weights, or an architecture for the first of its weights')
  .option('--list', 'list the catalog')
  .option('--from <place>', 'a mirror of the Hugging Face hub, a folder or a file [HF_ENDPOINT]')
  .option('--as <name>', "the model's name; default that of the weights")
  .option('--force', 'replace a model of that name')
  .option('--json', 'for programs')
  .action(async (name: string | undefined, flags: PullFlags & SettingFlags) => {
    const { pullCommand } = await import('./pull.js');
    await pullCommand(configOf(flags, true), name, flags);
  });

command('quantize', 'make a model of 8-bit integers, calibrated on images')
  .argument('<model>', 'a model or a model folder')
  .requiredOption('--images <folder>', 'images like those that the model will see, no labels needed')
  .option('--count <images>', 'how many of them', whole, 256)
  .option('--as <name>', "the new model's name; default that of the model and -int8")
  .addOption(
    oneOf(
      '--clip <method>',
      "how a value's range is chosen: all of it, without its tails, or by least error",
      CLIPPINGS,
      'error',
    ),
  )
  .option('--force', 'replace a model of that name, and write one that answers differently')
  .option('--json', 'for programs')
  .action(async (model: string, flags: QuantizeFlags & SettingFlags) => {
    const { quantizeCommand } = await import('./quantize.js');
    await quantizeCommand(configOf(flags, true), model, flags);
  });

program
  .command('architectures')
  .description('list the architectures that can be built by name')
  .addOption(new Option('--markdown', 'as the table of the README').conflicts('json'))
  .option('--json', 'for programs')
  .action(async (flags: ListArchitecturesFlags) => {
    const { listArchitecturesCommand } = await import('./list-architectures.js');
    listArchitecturesCommand(flags);
  });

command('evaluate', 'measure top-1 and top-5 on a folder of labelled images, or how heatmaps point on annotated ones')
  .argument('<folder>', 'one folder a class, or files with a class id in their names, or val_annotations.txt')
  .option('--model <list>', 'models', words)
  .option('--size <list>', "short sides; default the model's own", wholes)
  .addOption(
    new Option('--fit <fit>', 'how the image becomes the input; default crop, with --localization whole').choices(FITS),
  )
  .option('--localization', 'pointing game, MaxBoxAccV2 and PxAP of heatmaps of photographs with boxes or masks')
  .option('--annotations <file>', 'for --localization: the objects; default annotations.json in the folder')
  .option('--categories <file>', 'for --localization: JSON, the classes that each category may be; default its name')
  .option('--tolerance <pixels>', 'for --localization: how far from the object the peak may be', notNegative, 15)
  .option('--scale <list>', 'for --localization: multipliers of the size, averaged', numbers, [1])
  .option('--flip', 'for --localization: also average over the mirrored image', false)
  .option('--output-stride <pixels>', "for --localization: input pixels between cells; default the net's own", whole)
  .addOption(oneOf('--edge <edge>', 'for --localization: as for heatmap', EDGES, 'valid'))
  .addOption(oneOf('--scores <scores>', 'for --localization: what the maps hold', MAP_SCORES, 'probability'))
  .option('--json', 'for programs')
  .action(async (folder: string, { localization, fit, ...flags }: EvaluateAllFlags) => {
    const config = configOf(flags, true);
    if (localization === true) {
      const { evaluateLocalizationCommand } = await import('./evaluate-localization.js');
      await evaluateLocalizationCommand(config, folder, { ...flags, fit: fit ?? 'whole' });
    } else {
      const { evaluateCommand } = await import('./evaluate.js');
      await evaluateCommand(config, folder, { ...flags, fit: fit ?? 'crop' });
    }
  });

/**
 * What went wrong, for the terminal: one line about what the user, a file or a port did; the stack of everything else,
 * which is a bug.
 */
function describe(error: unknown): string {
  if (error instanceof ServiceError) {
    const parameters = error.errors.map(({ parameter, detail }) => `${parameter}: ${detail}`);
    const cause = error.code === 'INFERENCE_FAILED' && error.cause instanceof Error ? [error.cause.message] : [];
    return [error.message, ...parameters, ...cause].join(' ');
  }
  if (!(error instanceof Error)) return String(error);
  const isExpected = error instanceof OperatorError || 'syscall' in error;
  return isExpected ? error.message : (error.stack ?? error.message);
}

// A reader that has seen enough, as `head`, is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`fullconv: ${describe(error)}\n`);
  process.exitCode = 1;
}
