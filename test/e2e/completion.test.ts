/** The completion in the shells that are there: each is asked what it would show for a line. */
import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SHELLS, type Shell } from '../../src/cli/completion/shell-scripts.js';
import { ENTRY } from '../support/command-line.js';
import { writeTinyModels } from '../support/tiny-models.js';

const missing = SHELLS.filter((shell) => spawnSync(shell, ['--version']).status !== 0);
if (missing.length > 0) process.stderr.write(`notice: no ${missing.join(', ')} here; its completion is not tested\n`);

let models: string;
let folder: string;
beforeAll(async () => {
  models = await writeTinyModels();
  folder = await mkdtemp(join(tmpdir(), 'fullconv-completion-'));
  await mkdir(join(folder, 'bin'));
  await writeFile(join(folder, 'bin', 'fullconv'), `#!/bin/sh\nexec "${process.execPath}" "${ENTRY}" "$@"\n`);
  await chmod(join(folder, 'bin', 'fullconv'), 0o755);
  await mkdir(join(folder, 'here', 'a folder'), { recursive: true });
  await writeFile(join(folder, 'here', 'a photo.jpg'), '');
});
afterAll(() => Promise.all([models, folder].map((path) => rm(path, { recursive: true }))));

/** Programs that print, one a line, what a shell offers for the words of a line. */
const ASK: Readonly<Record<Shell, (words: readonly string[]) => string[]>> = {
  bash: (words) => [
    '--norc',
    '-c',
    `eval "$(fullconv completion bash)"; COMP_WORDS=(fullconv "$@"); COMP_CWORD=$#
     _fullconv; (( \${#COMPREPLY[@]} )) && printf '%s\\n' "\${COMPREPLY[@]}"`,
    'bash',
    ...words,
  ],
  // What zsh shows needs a terminal; what the function hands on to it does not.
  zsh: (words) => [
    '-f',
    '-c',
    `compdef() { :; }; _files() { [[ $1 == -/ ]] && print -l *(/N) || print -l *(N); }
     _describe() { local each; for each in "\${(@P)argv[-1]}"; do print -r -- \${each%%:*}; done; }
     source <(fullconv completion zsh); words=(fullconv "$@"); CURRENT=$#words; _fullconv`,
    'zsh',
    ...words,
  ],
  fish: (words) => [
    '--no-config',
    '-c',
    `fullconv completion fish | source; complete -C "fullconv ${words.join(' ').replace(' = ', '=')}" | string split -f1 \\t`,
  ],
};

function offered(shell: Shell, ...words: string[]): string[] {
  const { stdout, stderr } = spawnSync(shell, ASK[shell](words), {
    cwd: join(folder, 'here'),
    env: {
      ...process.env,
      HOME: folder,
      PATH: `${join(folder, 'bin')}${delimiter}${process.env['PATH'] ?? ''}`,
      FULLCONV_MODELS: models,
    },
    encoding: 'utf8',
  });
  expect(stderr).toBe('');
  return stdout.split('\n').filter((line) => line !== '');
}

describe.each(SHELLS.filter((shell) => !missing.includes(shell)))('completion in %s', (shell) => {
  it('offers commands, flags, their values, models and files', () => {
    expect(offered(shell, 'he')).toEqual(['heatmap', 'help']);
    expect(offered(shell, 'heatmap', '--co')).toEqual(['--colormap']);
    expect(offered(shell, 'heatmap', '--render', '')).toEqual(['overlay', 'heat', 'contours', 'gray16', 'sheet']);
    expect(offered(shell, 'heatmap', '--colormap', 'm')).toEqual(['magma']);
    expect(offered(shell, 'classify', '--model', '')).toEqual(['tiny-resnet', 'tiny-vgg']);
    expect(offered(shell, 'inspect', 'resnet18')).toEqual(['resnet18']);
    expect(offered(shell, 'serve', '--untrained', 'vgg16')).toEqual(['vgg16', 'vgg16_bn']);
    expect(offered(shell, 'completion', '')).toEqual(['bash', 'zsh', 'fish']);
    const files = offered(shell, 'classify', '').map((name) => name.replace(/\\|\/$/g, ''));
    expect(files.sort()).toEqual(['a folder', 'a photo.jpg']);
    expect(offered(shell, 'quantize', '--images', '').map((name) => name.replace(/\\|\/$/g, ''))).toEqual(['a folder']);
  });

  it('offers what stands behind =', () => {
    const values = offered(shell, 'heatmap', ...(shell === 'bash' ? ['--edge', '=', 's'] : ['--edge=s']));
    expect(values).toEqual([shell === 'bash' ? 'same' : '--edge=same']);
  });
});
