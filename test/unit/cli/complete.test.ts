import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { complete } from '../../../src/cli/completion/complete.js';
import { oneOf } from '../../../src/cli/option-values.js';

const program = new Command('fullconv');
program
  .command('heatmap')
  .description('draw')
  .argument('<files...>')
  .option('-o, --output <file>', 'where')
  .option('--model <model>', 'which')
  .option('--flip', 'mirror')
  .addOption(oneOf('--fit <fit>', 'how', ['crop', 'whole', 'native'], 'crop'))
  .addOption(program.createOption('--port <value>').hideHelp());
program.command('inspect').argument('<model>');
program.command('quantize').argument('<model>').option('--images <folder>', 'of what');
program.command('secret', { hidden: true });
const experiments = program.command('experiment');
experiments.command('slide').argument('<images>').option('--model <model>');
experiments.command('shift').argument('<images>');

const namesOf = (kind: string): Promise<readonly string[]> =>
  Promise.resolve(kind === 'model' ? ['tiny-resnet', 'tiny-vgg'] : []);

async function words(...typed: string[]): Promise<string[]> {
  const { candidates, paths } = await complete(program, typed, namesOf);
  return [...candidates.map(({ word }) => word), ...(paths === 'none' ? [] : [`:${paths}`])];
}

describe('complete', () => {
  it.each([
    ['commands, but no hidden ones', [''], ['heatmap', 'inspect', 'quantize', 'experiment', 'help']],
    ['commands by their start', ['in'], ['inspect']],
    ['nothing behind what is no command', ['in', ''], []],
    ['commands of a command', ['experiment', 's'], ['slide', 'shift']],
    ['files, behind a command of a command', ['experiment', 'shift', ''], [':files']],
    ['models, behind a flag of one', ['experiment', 'slide', '--model', ''], ['tiny-resnet', 'tiny-vgg']],
    ['files', ['heatmap', ''], [':files']],
    ['more files behind the first', ['heatmap', 'a.jpg', ''], [':files']],
    ['flags', ['heatmap', '--f'], ['--flip', '--fit']],
    [
      'flags behind files, but no hidden ones',
      ['heatmap', 'a.jpg', '--'],
      ['--output', '--model', '--flip', '--fit', '--help'],
    ],
    ['the values of a flag', ['heatmap', '--fit', ''], ['crop', 'whole', 'native']],
    ['the values of a flag by their start', ['heatmap', 'a.jpg', '--fit', 'w'], ['whole']],
    ['the values of a flag with =', ['heatmap', '--fit=n'], ['--fit=native']],
    ['the values of a flag with =, as bash takes it apart', ['heatmap', '--fit', '=', 'n'], ['--fit=native']],
    [
      'the values of a flag with =, where nothing stands behind it',
      ['heatmap', '--fit', '='],
      ['--fit=crop', '--fit=whole', '--fit=native'],
    ],
    ['models, behind a flag', ['heatmap', '--model', 'tiny-v'], ['tiny-vgg']],
    ['models, as an argument', ['inspect', ''], ['tiny-resnet', 'tiny-vgg']],
    ['nothing behind the last argument', ['inspect', 'tiny-vgg', ''], []],
    ['a file, behind a short flag', ['heatmap', '-o', 'x'], [':files']],
    ['folders', ['quantize', '--images', ''], [':folders']],
    ['what follows a flag without a value', ['heatmap', '--flip', ''], [':files']],
    ['nothing behind an unknown flag with =', ['heatmap', '--nope=x'], []],
  ])('offers %s', async (_, typed, expected) => {
    expect(await words(...typed)).toEqual(expected);
  });

  it('says what the words of a vocabulary mean', async () => {
    const tool = new Command('fullconv');
    tool.command('segment').addOption(oneOf('--edge <edge>', 'where it ends', { valid: 'exact', same: 'padded' }));
    const { candidates } = await complete(tool, ['segment', '--edge', ''], namesOf);
    expect(candidates).toEqual([
      { word: 'valid', about: 'exact' },
      { word: 'same', about: 'padded' },
    ]);
    expect(tool.commands[0]!.helpInformation()).toMatch(/where it ends\. valid: exact; same:\s+padded/);
  });
});
