/** The command line: `fullconv serve | classify | heatmap | models | evaluate | bench`. Each command has its own file. */
import { Command, InvalidArgumentError, Option } from 'commander';
import { ConfigError, SETTING_LIST, readConfig, type Config, type SettingName } from '../config.js';
import { ServiceError } from '../errors.js';
import { VERSION } from '../version.js';
import type { ClassifyFlags } from './classify.js';
import type { EvaluateFlags } from './evaluate.js';
import type { HeatmapFlags } from './heatmap.js';

const program = new Command('fullconv')
  .description('Serves any image classifier as a classifier and as a dense heatmap machine.')
  .version(VERSION)
  .showHelpAfterError();

/** The settings given as flags, still text. */
type SettingFlags = Partial<Record<SettingName, string>>;

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
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('must be a positive number');
  return value;
}

const numbers = (text: string): number[] => text.split(',').map(positive);
const words = (text: string): string[] => text.split(',').filter((word) => word !== '');

command('serve', 'start the server').action(async (flags: SettingFlags) => {
  const { serve } = await import('../server.js');
  await serve(configOf(flags, false));
});

command('classify', 'print the classes of images')
  .argument('<files...>')
  .option('--model <name>', 'model')
  .option('--top <k>', 'how many classes', positive, 5)
  .option('--fit <fit>', 'crop, whole, native or stretch', 'crop')
  .option('--size <pixels>', 'short side', positive)
  .option('--scale <list>', 'multipliers of the size', numbers, [1])
  .option('--json', 'for programs')
  .action(async (files: string[], flags: ClassifyFlags & SettingFlags) => {
    const { classifyCommand } = await import('./classify.js');
    await classifyCommand(configOf(flags, true), files, flags);
  });

command('heatmap', 'write the heatmap of an image as a PNG')
  .argument('<file>')
  .requiredOption('-o, --output <file>', 'the PNG to write')
  .option('--model <name>', 'model')
  .option('--class <name>', 'index, id, label or top', 'top')
  .option('--fit <fit>', 'crop, whole, native or stretch', 'whole')
  .option('--size <pixels>', 'short side', positive)
  .option('--scale <list>', 'multipliers of the size', numbers, [1])
  .option('--flip', 'also average over the mirrored image', false)
  .option('--render <mode>', 'overlay, heat or gray16', 'overlay')
  .option('--colormap <name>', 'turbo, viridis, magma, inferno, plasma or cividis', 'turbo')
  .option('--range <range>', 'absolute or minmax', 'absolute')
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

command('evaluate', 'measure top-1 and top-5 on a folder of labelled images')
  .argument('<folder>', 'one folder a class, or files with a class id in their names, or val_annotations.txt')
  .option('--model <list>', 'models', words)
  .option('--size <list>', "short sides; default the model's own", numbers)
  .option('--fit <fit>', 'crop, whole, native or stretch', 'crop')
  .option('--json', 'for programs')
  .action(async (folder: string, flags: EvaluateFlags & SettingFlags) => {
    const { evaluateCommand } = await import('./evaluate.js');
    await evaluateCommand(configOf(flags, true), folder, flags);
  });

try {
  await program.parseAsync();
} catch (error) {
  const expected = error instanceof ConfigError || error instanceof ServiceError;
  process.stderr.write(
    `fullconv: ${expected ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  if (error instanceof ServiceError) {
    for (const { parameter, detail } of error.errors) process.stderr.write(`  ${parameter}: ${detail}\n`);
  }
  process.exitCode = 1;
}
