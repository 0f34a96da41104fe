import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { faultOfAddress, secondsNow } from '../../src/signed-address.js';
import { SETTING_LIST } from '../../src/config.js';
import { ENTRY, runFullconv, type Ended } from '../support/command-line.js';
import { addKeys, newKeysFile } from '../support/keys.js';
import { startServer } from '../support/server.js';
import { writeKerasModel, writeTinyModels } from '../support/tiny-models.js';

const photo = (name: string): string => fileURLToPath(new URL(`../fixtures/photos/${name}`, import.meta.url));

/** util-linux' script gives a program a terminal. */
const hasScript = String(spawnSync('script', ['--version']).stdout).includes('util-linux');

let models: string;
let folder: string;
beforeAll(async () => {
  models = await writeTinyModels();
  folder = await mkdtemp(join(tmpdir(), 'fullconv-cli-'));
});
afterAll(() => Promise.all([models, folder].map((path) => rm(path, { recursive: true }))));

const fullconv = (...args: string[]): Promise<Ended> => fullconvWith({}, ...args);
const fullconvWith = (environment: Record<string, string>, ...args: string[]): Promise<Ended> =>
  runFullconv({ FULLCONV_MODELS: models, ...environment }, ...args);

describe('fullconv', () => {
  it('classify prints tables, and JSON for programs', async () => {
    const table = await fullconv('classify', photo('coffee.png'), photo('grace_hopper.jpg'));
    expect(table.stderr).toBe('');
    expect(table.stdout).toMatch(/coffee\.png {2}600×400, scale 1\n.*probability\n(thing, number \d.*%\n){5}/);
    const json = await fullconv('classify', '--json', '--top', '2', '--scale', '1,2', photo('coffee.png'));
    const results = JSON.parse(json.stdout) as { predictions: unknown[]; input: { scale: number } }[];
    expect(results.map(({ input, predictions }) => [input.scale, predictions.length])).toEqual([
      [1, 2],
      [2, 2],
    ]);
  });

  it('architectures lists what can be built, as a table, JSON or Markdown', async () => {
    expect((await fullconv('architectures')).stdout).toMatch(
      /^architecture +parameters \(M\) +GMAC [^]*\nresnet50 +25\.56 +4\.09 /,
    );
    const { stdout } = await fullconv('architectures', '--json');
    const inception = (JSON.parse(stdout) as { name: string }[]).find(({ name }) => name === 'inception_v3');
    expect(inception).toMatchObject({ inputSize: 299, parameters: 23834568, publishedParameters: 27161264, cells: 8 });
    expect((await fullconv('architectures', '--markdown')).stdout).toContain(
      '\n| resnet50 | 25.56 | 4.09 | 6 | 50 | 224 |',
    );
  });

  it('sign prints an address that holds, with the key of the environment', async () => {
    const keys = { FULLCONV_URL_KEYS: 'new-key-0123456789,old-key-0123456789' };
    const address = 'https://example.com/v1/heatmap?url=https%3A%2F%2Fimages.example.com%2Fcat.jpg';
    const { stdout } = await fullconvWith(keys, 'sign', address, '--expires-in', '2h');
    expect(stdout.startsWith(`${address}&expires=`)).toBe(true);
    const { pathname, search, searchParams } = new URL(stdout);
    expect(faultOfAddress(pathname, search.slice(1), ['new-key-0123456789'], secondsNow())).toBeUndefined();
    const left = Number(searchParams.get('expires')) - secondsNow();
    expect([left > 3600, left <= 7200]).toEqual([true, true]);
    expect(await fullconv('sign', address)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('FULLCONV_URL_KEYS is empty') as string,
    });
    expect((await fullconvWith(keys, 'sign', address, '--expires-in', 'soon')).stderr).toContain('It must be a time');
  });

  it('classify says which files are bad, answers the others, and ends with 1', async () => {
    const bad = join(folder, 'bad.png');
    await writeFile(bad, 'nothing');
    const { code, stdout, stderr } = await fullconv('classify', bad, '/nowhere.png', photo('coffee.png'));
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^fullconv: .*\/bad\.png: .*\nfullconv: ENOENT: no such file or directory, open '\/nowhere\.png'\n$/,
    );
    expect(stdout).toContain('coffee.png');
    const json = await fullconv('classify', '--json', bad, photo('coffee.png'));
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject([
      { file: bad, problem: expect.any(String) as string },
      { file: photo('coffee.png'), name: 'coffee.png', predictions: [{}, {}, {}, {}, {}] },
    ]);
  });

  it('says of a file what is wrong and how it can be put right, whoever answers', async () => {
    const huge = join(folder, 'huge.tif');
    await truncate(await writeFile(huge, '').then(() => huge), 3 * 2 ** 30);
    const refused = await fullconv(
      'classify',
      '--json',
      '--fit',
      'native',
      '--scale',
      '1,20',
      huge,
      photo('coffee.png'),
    );
    const largest = 'scale: scale=20 is too large for this image; at most 4.57.';
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(`coffee.png: The network's`) as string });
    expect(refused.stderr).toContain(`${largest}\n`);
    expect(refused.stderr).toContain(`fullconv: ${huge}: `);
    expect((JSON.parse(refused.stdout) as { problem: string }[]).map(({ problem }) => problem)).toEqual([
      expect.stringContaining('2 GiB'),
      expect.stringContaining(largest),
    ]);
  });

  it('takes folders, patterns that the shell left alone, and the standard input', async () => {
    const below = join(folder, 'photos', 'below');
    await mkdir(below, { recursive: true });
    await copyFile(photo('coffee.png'), join(folder, 'photos', 'b.PNG'));
    await copyFile(photo('chelsea.png'), join(below, 'a.png'));
    await writeFile(join(folder, 'photos', 'notes.txt'), 'no image');
    const names = async (...args: string[]): Promise<string[]> => {
      const { stdout } = await fullconv('classify', '--json', '--top', '1', ...args);
      return (JSON.parse(stdout) as { name: string }[]).map(({ name }) => name);
    };
    expect(await names(join(folder, 'photos'))).toEqual(['b.PNG', 'below/a.png']);
    expect(await names(join(folder, 'phot*', '*'), join(folder, '**', 'a.png'))).toEqual([
      'photos/b.PNG',
      'photos/below/a.png',
    ]);
    const nothing = await fullconv('classify', join(folder, '*.gif'), photo('coffee.png'));
    expect(nothing).toMatchObject({ code: 1, stderr: `fullconv: there is no image at ${join(folder, '*.gif')}\n` });
    expect(nothing.stdout).toContain('coffee.png');
    const piped = spawnSync(process.execPath, [ENTRY, 'classify', '-'], {
      env: { ...process.env, FULLCONV_MODELS: models },
      input: await readFile(photo('coffee.png')),
    });
    expect(piped.stdout.toString()).toMatch(/^stdin {2}600×400/);
  });

  it('prints names that a terminal would obey without what it would obey, and as they are for programs', async () => {
    const [good, bad] = [join(folder, 'a\x1b[31m\nb.png'), join(folder, 'bad\n.png')];
    await copyFile(photo('coffee.png'), good);
    await writeFile(bad, 'nothing');
    const { stdout, stderr } = await fullconv('classify', good, bad, '/nowhere\n.png');
    expect(stdout).toMatch(/^a\?\[31m\?b\.png {2}600×400/);
    expect(stderr).toMatch(/^fullconv: .*bad\?\.png: .*\nfullconv: ENOENT: .*nowhere\?\.png'\n$/);
    const map = await fullconv('heatmap', good, '-o', join(folder, 'c\nd.png'));
    expect(map.stdout).toMatch(/^.* → .*c\?d\.png\n$/);
    expect(JSON.parse((await fullconv('heatmap', good, '--json')).stdout)).toMatchObject({ file: good });
  });

  it('classify answers with the weights of a Keras file, converted once', async () => {
    const root = join(folder, 'keras');
    const environment = { FULLCONV_MODELS: root, FULLCONV_CACHE: join(folder, 'cache') };
    const weights = join(await writeKerasModel(root, 'keras-resnet'), 'weights.h5');
    const first = await fullconvWith(environment, 'classify', '--json', photo('coffee.png'));
    expect(first.code, first.stderr).toBe(0);
    expect((await readdir(join(folder, 'cache', 'weights'))).sort()).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}\.keras-h5-1\.safetensors$/),
      expect.stringMatching(/^[0-9a-f]{64}\.keras-h5-1\.safetensors\.sha256$/),
    ]);
    const second = await fullconvWith(environment, 'classify', '--json', photo('coffee.png'));
    expect(second.stdout).toBe(first.stdout);

    await writeFile(weights, 'garbage');
    const broken = await fullconvWith(environment, 'classify', photo('coffee.png'));
    expect(broken.stdout + broken.stderr).toMatch(/weights\.h5: file: is a text, and not an HDF5 file/);
    expect(broken.code).toBe(3);
  });

  it('classify takes more files than the queue', async () => {
    const files = Array.from({ length: 5 }, () => photo('coffee.png'));
    const args = ['classify', '--json', '--scale', '1,2', ...files];
    const { code, stdout, stderr } = await fullconvWith({ FULLCONV_MAX_QUEUE: '3' }, ...args);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toHaveLength(10);
  });

  it.each([
    ['classify', ['--fit', 'shrink'], /--fit.*shrink.*crop, whole, native, stretch/],
    ['classify', ['--top', '2.5'], /--top.*2\.5.*whole number/],
    ['classify', ['--server', 'http://user:word@127.0.0.1'], /--server.*must not hold a user name/],
    ['heatmap', ['--top', '33'], /--top.*33.*at most 32/],
    ['heatmap', ['--render', 'oil'], /--render.*oil.*overlay, heat, contours, gray16, sheet/],
    ['heatmap', ['--colormap', 'jet'], /--colormap.*jet.*viridis.*turbo/],
    ['heatmap', ['--top', '3'], /--top 3: a picture shows one class, unless it is a --render sheet/],
    ['heatmap', ['--class', '5', '--top', '1'], /--class with --top 1: a picture shows one class/],
    ['heatmap', ['--class', '5', '--top', '32', '--render', 'sheet'], /--top: with --class it must be at most 31/],
    ['heatmap', ['--range', '0-1'], /--range.*0-1.*absolute, minmax/],
  ])('%s refuses a wrong option with what it takes: %o', async (command, option, message) => {
    const { code, stderr } = await fullconv(command, photo('coffee.png'), ...option);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n').length).toBeLessThan(5);
  });

  it.each([
    ['evaluate', ['folder', '--output-stride', '8'], /--output-stride is for --localization/],
    ['evaluate', ['folder', '--scores', 'logit'], /--scores is for --localization/],
    ['evaluate', ['folder', '--model', ','], /--model.*It must be a name, or several/],
    ['inspect', ['resnet50', '--draw', '--size', '300'], /'--draw' cannot be used with option '--size <pixels>'/],
    ['pull', ['--force'], /--force is for weights that are named/],
    ['pull', ['resnet50', '--list'], /--list lists the whole catalog/],
    ['key', ['--keys', 'k', 'a', '--list'], /--list lists all keys/],
    ['key', ['--keys', 'k', 'a', '--json'], /--json is for --list/],
    ['key', ['--keys', 'k', 'a', '--revoke', '--burst', '3'], /'--revoke' cannot be used with option '--burst <n>'/],
  ])('%s refuses options that contradict each other: %o', async (command, args, message) => {
    const { code, stdout, stderr } = await fullconv(command, ...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
  });

  it('ends with its own code where nobody reads what it says, and with 1 where it cannot be written', () => {
    const run = (line: string): number | null =>
      spawnSync('bash', ['-c', `"${process.execPath}" "${ENTRY}" ${line}`], {
        env: { ...process.env, FULLCONV_MODELS: models },
      }).status;
    expect(run('nothing 2>&1 | true; exit ${PIPESTATUS[0]}')).toBe(2);
    expect(run('models | true; exit ${PIPESTATUS[0]}')).toBe(0);
    if (existsSync('/dev/full')) expect(run('models > /dev/full')).toBe(1);
  });

  it.each([
    [
      'a model that is not there',
      {},
      ['--model', 'nothing'],
      2,
      /^fullconv: There is no model "nothing"\. model: must be one of: tiny-resnet, tiny-vgg\.\n$/,
    ],
    ['a wrong setting', {}, ['--workers', '0'], 2, /^fullconv: --workers=0: .*\n$/],
    ['no folder of models', { FULLCONV_MODELS: '/nowhere' }, [], 2, /^fullconv: FULLCONV_MODELS=\/nowhere: .*\n$/],
    [
      'an architecture that is not there',
      {},
      ['--untrained', 'resnet19'],
      2,
      /^fullconv: FULLCONV_UNTRAINED=resnet19: .*\n$/,
    ],
    [
      'a device that this machine lacks',
      { FULLCONV_DEVICE: 'coreml' },
      [],
      3,
      /^fullconv: FULLCONV_DEVICE=coreml: .*\n$/,
    ],
    ['a file that is not there', {}, ['/nowhere.png'], 1, /^fullconv: ENOENT: .*\/nowhere\.png'\n$/],
  ])('says in one line what is wrong, and by its exit code: %s', async (_, environment, args, expected, message) => {
    const { code, stderr } = await fullconvWith(environment, 'classify', photo('coffee.png'), ...args);
    expect(code).toBe(expected);
    expect(stderr).toMatch(message);
  });

  it('quantize of a model that is not there is wrong usage, as everywhere', async () => {
    const { code, stderr } = await fullconv('quantize', 'nothing', '--images', folder);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^fullconv: There is no model "nothing" in .*\n$/);
  });

  it('heatmap writes a PNG at the photo’s size', async () => {
    const output = join(folder, 'map.png');
    const { stdout, code } = await fullconv('heatmap', photo('coffee.png'), '-o', output, '--class', 'id-3', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ id: 'id-3' });
    expect(await sharp(await readFile(output)).metadata()).toMatchObject({ format: 'png', width: 600, height: 400 });
    const sheet = join(folder, 'sheet.webp');
    expect(await fullconv('heatmap', photo('coffee.png'), '-o', sheet, '--render', 'sheet')).toMatchObject({ code: 0 });
    expect(await sharp(await readFile(sheet)).metadata()).toMatchObject({ format: 'webp', width: 1200 });
    const form = await fullconv('heatmap', photo('coffee.png'), '-o', join(folder, 'map.jpg'));
    expect(form).toMatchObject({ code: 2, stderr: expect.stringMatching(/\.png, \.webp, \.avif\n$/) as string });
    const unknown = await fullconv('heatmap', photo('coffee.png'), '-o', output, '--class', 'unicorn');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/unicorn/);
  });

  it('heatmap and segment write the pictures of several images into a folder, under their names', async () => {
    const from = join(folder, 'several');
    const bad = join(from, 'sub', 'bad.jpg');
    await mkdir(join(from, 'sub'), { recursive: true });
    await copyFile(photo('coffee.png'), join(from, 'coffee.png'));
    await copyFile(photo('chelsea.png'), join(from, 'sub', 'cat.png'));
    await writeFile(bad, 'nothing');
    const into = join(folder, 'pictures');
    for (const [command, format] of [
      ['heatmap', 'webp'],
      ['segment', 'png'],
    ] as const) {
      const { code, stdout, stderr } = await fullconv(command, from, '-o', into, '--format', format, '--json');
      expect(code).toBe(1);
      expect(stderr).toMatch(/^fullconv: .*bad\.jpg: .*\n$/);
      const lines = stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as object);
      expect(lines).toMatchObject([
        { file: join(from, 'coffee.png'), output: join(into, `coffee.${format}`), map: { width: 6, height: 4 } },
        { file: bad, problem: expect.any(String) as string },
        { file: join(from, 'sub', 'cat.png'), output: join(into, 'sub', `cat.${format}`) },
      ]);
      const picture = await sharp(await readFile(join(into, 'sub', `cat.${format}`))).metadata();
      expect(picture).toMatchObject({ format, width: 451, height: 300 });
    }
  });

  it('heatmap and segment put the picture of one image into a pipe', async () => {
    const pipe = (...args: string[]): { stdout: Buffer; stderr: Buffer; status: number | null } =>
      spawnSync(process.execPath, [ENTRY, ...args], {
        cwd: folder,
        env: { ...process.env, FULLCONV_MODELS: models },
        input: coffee,
      });
    const coffee = await readFile(photo('coffee.png'));
    const map = pipe('heatmap', '-', '-o', '-', '--format', 'webp');
    expect(await sharp(map.stdout).metadata()).toMatchObject({ format: 'webp', width: 600, height: 400 });
    expect(map.stderr.toString()).toMatch(/^thing, number .* cells → -\n$/);
    const labels = pipe('segment', photo('coffee.png'), '-o', '-', '--json');
    expect(await sharp(labels.stdout).metadata()).toMatchObject({ format: 'png' });
    expect(JSON.parse(labels.stderr.toString())).toMatchObject({ output: '-' });
    expect(pipe('heatmap', '-', photo('coffee.png'), '-o', '-')).toMatchObject({ status: 2, stdout: Buffer.alloc(0) });
    expect(await readdir(folder)).not.toContain('-');
  });

  it.each([
    ['over an input', ['coffee.png', '-o', 'coffee.png'], /overwrite an image that it is made from/],
    ['over an input, in its own folder', ['coffee.png', '-o', '.'], /overwrite an image that it is made from/],
    [
      'two to one file',
      ['coffee.png', 'coffee.jpg', '-o', 'pictures'],
      /coffee\.jpg and coffee\.png would both become/,
    ],
    ['several to a picture', ['coffee.png', 'chelsea.png', '-o', 'map.png'], /into a folder/],
    ['several to a file', ['coffee.png', 'chelsea.png', '-o', 'there'], /there: is a file/],
  ])('refuses before anything is computed to write %s', async (_, args, message) => {
    const here = join(folder, 'refused');
    await mkdir(here, { recursive: true });
    for (const name of ['coffee.png', 'chelsea.png']) await copyFile(photo(name), join(here, name));
    await writeFile(join(here, 'there'), '');
    await writeFile(join(here, 'coffee.jpg'), '');
    const before = await readFile(join(here, 'coffee.png'));
    const { status, stdout, stderr } = spawnSync(process.execPath, [ENTRY, 'heatmap', ...args], {
      cwd: here,
      env: { ...process.env, FULLCONV_MODELS: models },
      encoding: 'utf8',
    });
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(message);
    expect((await readFile(join(here, 'coffee.png'))).equals(before)).toBe(true);
  });

  it.skipIf(!hasScript)('shows a picture in a terminal that can, and a bar for several files', () => {
    const onTerminal = (environment: Record<string, string>, ...args: string[]): string =>
      spawnSync(
        'script',
        ['-qec', `stty cols 80 rows 30; "${process.execPath}" "${ENTRY}" ${args.join(' ')}`, '/dev/null'],
        {
          env: { PATH: process.env['PATH'], FULLCONV_MODELS: models, TERM: 'xterm-256color', ...environment },
          encoding: 'utf8',
        },
      ).stdout;
    const one = `heatmap "${photo('coffee.png')}"`;
    expect(onTerminal({ COLORTERM: 'truecolor' }, one)).toMatch(
      /^(\x1b\[[34]8;2;[^m]+m[^\n]*▀\x1b\[0m\r\n){21}thing, number/,
    );
    expect(onTerminal({ KITTY_WINDOW_ID: '1' }, one)).toMatch(/^\x1b_Ga=T,f=100,q=2,c=64,r=21,m=1;iVBOR/);
    expect(onTerminal({ COLORTERM: 'truecolor', NO_COLOR: '1' }, one)).toMatch(/^([ .:=+*#%@-]*\r\n){4}thing, number/);
    expect(onTerminal({ COLORTERM: 'truecolor' }, one, '--picture', 'none')).toMatch(/^thing, number/);
    const piped = spawnSync(
      'script',
      ['-qec', `"${process.execPath}" "${ENTRY}" ${one} --picture blocks | cat`, '/dev/null'],
      {
        env: { PATH: process.env['PATH'], FULLCONV_MODELS: models },
        encoding: 'utf8',
      },
    );
    expect(piped.stdout).toMatch(/^thing, number/);
    const photos = fileURLToPath(new URL('../fixtures/photos', import.meta.url));
    expect(onTerminal({}, 'classify', `"${photos}"`, '--picture', 'none')).toMatch(/ 0% \| 0\/3 [^]* 100% \| 3\/3 /);
  });

  it('classify and heatmap ask a server, and print the same', async () => {
    const server = await startServer({ FULLCONV_MODELS: models, FULLCONV_WORKERS: '1' });
    const bad = join(folder, 'no-image.png');
    await writeFile(bad, 'nothing');
    const empty = join(folder, 'empty.png');
    await writeFile(empty, '');
    const classifyBoth = ['classify', empty, photo('coffee.png'), bad, '--scale', '1,2'];
    const local = await fullconv(...classifyBoth);
    const remote = await fullconv(...classifyBoth, '--server', server.url);
    expect(remote).toMatchObject({ code: 1, stdout: local.stdout, stderr: local.stderr });

    const output = join(folder, 'remote.png');
    const draw = ['heatmap', photo('coffee.png'), '-o', output, '--class', 'id-3', '--output-stride', '8', '--json'];
    const drawn = await fullconv(...draw);
    const picture = await readFile(output);
    expect((await fullconv(...draw, '--server', server.url)).stdout).toBe(drawn.stdout);
    expect((await readFile(output)).equals(picture)).toBe(true);
    const label = ['segment', photo('coffee.png'), photo('chelsea.png'), '-o', join(folder, 'labels'), '--json'];
    const labelled = await fullconv(...label);
    expect(labelled).toMatchObject({ code: 0, stderr: '' });
    expect((await fullconv(...label, '--server', server.url)).stdout).toBe(labelled.stdout);

    const unknown = await fullconv('classify', photo('coffee.png'), '--server', server.url, '--model', 'nothing');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toMatch(/^fullconv: There is no model "nothing"\. model: .*\n$/);
    await server.stop();
    const gone = await fullconv('classify', photo('coffee.png'), '--server', server.url);
    expect([gone.code, gone.stderr]).toEqual([3, `fullconv: There is no answer from ${server.url}.\n`]);
    const wrong = await fullconv('classify', photo('coffee.png'), '--server', 'localhost:80');
    expect(wrong.stderr).toMatch(/--server.*http:/);
  });

  it('classify and heatmap ask a server that refuses for now again, with fewer images at once', async () => {
    const keys = await newKeysFile();
    const { one } = await addKeys(keys, { one: { scopes: ['infer'], quotas: { imagesAtOnce: 1 } } });
    const server = await startServer({ FULLCONV_MODELS: models, FULLCONV_WORKERS: '1', FULLCONV_KEYS: keys });
    const photos = Array.from({ length: 6 }, () => photo('coffee.png'));
    for (const command of ['classify', 'heatmap']) {
      const args = [command, ...photos, '--json', '--server', server.url];
      const { code, stdout, stderr } = await fullconvWith({ FULLCONV_API_KEY: one }, ...args);
      expect([code, stderr]).toEqual([0, '']);
      expect(stdout.match(/"file"/g)).toHaveLength(photos.length);
    }
    await server.stop();
  });

  it('gives up on a server that is full for long, with its words', async () => {
    let asked = 0;
    const full = createHttpServer((request, response) => {
      asked += 1;
      request.resume();
      response.writeHead(503, { 'content-type': 'application/problem+json', 'retry-after': '3600' });
      response.end(JSON.stringify({ status: 503, code: 'MODEL_NOT_READY', detail: 'The model is\x1b asleep.' }));
    }).listen(0, '127.0.0.1');
    await once(full, 'listening');
    const { port } = full.address() as AddressInfo;
    const ended = await fullconv('classify', photo('coffee.png'), '--server', `http://127.0.0.1:${port}`);
    full.close();
    expect(ended).toMatchObject({ code: 3, stdout: '', stderr: 'fullconv: The model is? asleep.\n' });
    expect(asked).toBe(1);
  });

  it('models lists them', async () => {
    const { stdout } = await fullconv('models');
    expect(stdout).toMatch(/tiny-resnet \(default\) +ready +resnet18/);
    expect(stdout).toMatch(/tiny-vgg +ready +vgg11/);
  });

  it('takes a setting under its old name, with a warning that is no answer', async () => {
    const { code, stdout, stderr } = await fullconv('models', '--json', '--max-batch-gflops', '12');
    expect(code).toBe(0);
    expect(stderr).toBe(
      'fullconv: --max-batch-gflops is called --max-batch-gmacs now; the next version does not take the old name\n',
    );
    const [first] = JSON.parse(stdout) as Record<string, unknown>[];
    expect(first!['GMAC']).toBeGreaterThan(0);
    expect(first!['multiply-adds (G)'], 'the old name').toBe(first!['GMAC']);
    expect(await fullconv('models', '--max-batch-gflops', '12', '--max-batch-gmacs', '13')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(
        /^fullconv: --max-batch-gmacs=13 and --max-batch-gflops=12 are the same setting/,
      ) as string,
    });
  });

  it('inspect describes a model, by blocks or layer by layer, for people and for programs', async () => {
    const blocks = await fullconv('inspect', 'tiny-vgg');
    expect(blocks.code, blocks.stderr).toBe(0);
    expect(blocks.stdout).toMatch(/^tiny-vgg, version 1\n\n {2}architecture {4}vgg11, width 8, hidden 16, poolings 4/);
    expect(blocks.stdout).toMatch(
      /\nblock +layers +output +parameters +multiply-adds\nfeatures\.0 … features\.1 +Conv 3×3 +8×64×64/,
    );
    expect(blocks.stdout).toContain('fully connected over a window of 4×4 cells');
    const layers = await fullconv('inspect', 'tiny-vgg', '--layers');
    expect(layers.stdout).toMatch(/\nfeatures\.2 +MaxPool 2×2\/2 +8×32×32\n/);
    const larger = await fullconv('inspect', 'tiny-vgg', '--size', '96');
    expect(larger.stdout).toMatch(/\nfeatures\.0 … features\.1 +Conv 3×3 +8×96×96[^]*3×3 cells \(6×6 with edge=same\)/);
    for (const { stdout } of [blocks, layers, await fullconv('inspect', 'densenet121', '--layers')]) {
      expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(120);
    }
    const { stdout } = await fullconv('inspect', '--json', join(models, 'tiny-resnet'));
    expect(JSON.parse(stdout)).toMatchObject({
      name: 'tiny-resnet',
      classes: 10,
      heatmaps: { available: true, edges: ['valid', 'same'] },
    });
    expect(await fullconv('inspect', 'nothing')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^fullconv: There is no model "nothing" .*\n$/) as string,
    });
  });

  it('experiment prints Markdown or JSON, and writes both with its plots', async () => {
    const args = ['experiment', 'rescale', photo('coffee.png'), '--model', 'tiny-resnet', '--scale', '1,2'];
    const { stdout, stderr, code } = await fullconv(...args);
    expect([stderr, code]).toEqual(['', 0]);
    expect(stdout).toMatch(
      /^# rescale: [^]*\n- tiny-resnet, version 1, sha256 [^]*\n\| 2 \| 128 \| [01]\.\d{3}[^]*rescale\.svg\n$/,
    );
    const output = join(folder, 'experiment');
    const json = await fullconv(...args, '--json', '--output', output);
    const report = JSON.parse(json.stdout) as { experiment: string; ground: object; models: { scales: object[] }[] };
    expect(report).toMatchObject({ experiment: 'rescale', ground: { engine: 'onnxruntime', device: 'cpu' } });
    expect(report.models[0]!.scales).toHaveLength(2);
    expect((await readdir(output)).sort()).toEqual(['report.json', 'report.md', 'rescale.svg']);
    expect(await readFile(join(output, 'report.json'), 'utf8')).toBe(json.stdout);
    expect(await readFile(join(output, 'rescale.svg'), 'utf8')).toMatch(
      /^<svg[^]* xmlns="http:\/\/www.w3.org\/2000\/svg"/,
    );
  });

  it.each([
    ['an experiment that is not there', ['nonsense'], 2, /unknown command 'nonsense'/],
    ['images that are not there', ['shift', '/nowhere', '--model', 'tiny-resnet'], 1, /^fullconv: .*'\/nowhere'\n$/],
    [
      'a net that does not fit',
      ['slide', photo('coffee.png'), '--model', 'tiny-resnet'],
      1,
      /tiny-resnet has no fully/,
    ],
  ])('experiment says what is wrong: %s', async (_, args, code, message) => {
    const ended = await fullconv('experiment', ...args);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(ended.stderr).toMatch(message);
  });

  it('inspect draws a model and an architecture, whole or in part', async () => {
    const file = join(folder, 'net.svg');
    expect(await fullconv('inspect', 'tiny-resnet', '--draw', '-o', file)).toMatchObject({ code: 0, stdout: '' });
    expect(await readFile(file, 'utf8')).toContain('>tiny-resnet</text>');
    const { stdout } = await fullconv('inspect', 'resnet50', '--draw', '--part', 'layer2.0');
    expect(stdout).toMatch(/^<svg /);
    expect(stdout).toContain('>conv 1×1, 512, stride 2 · BN</text>');
    for (const wrong of [
      ['--part', 'layer2.0'],
      ['--draw', '--part', 'nothing'],
      ['--draw', '--json'],
    ]) {
      expect(await fullconv('inspect', 'resnet50', ...wrong), wrong.join(' ')).toMatchObject({ code: 2, stdout: '' });
    }
  });

  it('evaluate counts the right answers, by folders and by annotations', async () => {
    const known = await fullconv('classify', '--json', '--fit', 'stretch', photo('coffee.png'), photo('chelsea.png'));
    const [coffee, cat] = (JSON.parse(known.stdout) as { predictions: { id: string }[] }[]).map(({ predictions }) =>
      predictions.map(({ id }) => id),
    );
    // The first image is given its best class, the second its third: top-1 is one of two, top-5 both.
    const byFolder = join(folder, 'by-folder');
    for (const [id, file] of [
      [coffee![0]!, 'coffee.png'],
      [cat![2]!, 'chelsea.png'],
    ] as const) {
      await mkdir(join(byFolder, id), { recursive: true });
      await copyFile(photo(file), join(byFolder, id, file));
    }
    const tiny = join(folder, 'tiny');
    await mkdir(join(tiny, 'images'), { recursive: true });
    await copyFile(photo('coffee.png'), join(tiny, 'images', 'val_0.png'));
    await copyFile(photo('chelsea.png'), join(tiny, 'images', 'val_1.png'));
    await writeFile(
      join(tiny, 'val_annotations.txt'),
      `val_0.png\t${coffee![0]}\t0\t0\t9\t9\nval_1.png\t${cat![2]}\t0\t0\t9\t9\n`,
    );
    for (const dataset of [byFolder, tiny]) {
      const { stdout, stderr } = await fullconv('evaluate', '--json', '--fit', 'stretch', dataset);
      expect(JSON.parse(stdout), stderr).toMatchObject([
        { model: 'tiny-resnet', images: 2, failed: 0, 'top-1 %': 50, 'top-5 %': 100 },
      ]);
    }
    // An image that cannot be decoded is wrong, not the end.
    await mkdir(join(byFolder, 'id-0'), { recursive: true });
    await writeFile(join(byFolder, 'id-0', 'bad.png'), 'nothing');
    await copyFile(photo('coffee.png'), join(byFolder, coffee![0]!, 'again.png'));
    const withBad = await fullconv('evaluate', '--json', '--fit', 'stretch', byFolder);
    expect(JSON.parse(withBad.stdout), withBad.stderr).toMatchObject([
      { images: 4, failed: 1, 'top-1 %': 50, 'top-5 %': 75 },
    ]);
    expect(withBad.stderr).toContain('bad.png: ');
    expect(withBad.code).toBe(1);
    const empty = await fullconv('evaluate', join(models, 'tiny-vgg'));
    expect(empty.code).toBe(1);
    expect(empty.stderr).toMatch(/no image of a class/);
  });

  it('evaluate --localization measures where heatmaps point, beside the centre', async () => {
    const dataset = join(folder, 'localization');
    await mkdir(dataset);
    await copyFile(photo('coffee.png'), join(dataset, 'coffee.png'));
    const object = { image_id: 1, category_id: 1, bbox: [0, 0, 600, 400] };
    const annotations = {
      images: [{ id: 1, file_name: 'coffee.png', width: 600, height: 400 }],
      categories: [{ id: 1, name: 'cup' }],
      annotations: [object],
    };
    await writeFile(join(dataset, 'annotations.json'), JSON.stringify(annotations));
    await writeFile(join(dataset, 'categories.json'), JSON.stringify({ cup: ['id-2..id-4', 'id-7'] }));
    const categories = ['--categories', join(dataset, 'categories.json')];
    const { stdout, stderr } = await fullconv('evaluate', '--json', '--localization', dataset, ...categories, '--flip');
    expect(JSON.parse(stdout), stderr).toMatchObject([
      { model: 'the centre', cases: 1, 'pointing game %': '100.0', 'PxAP %': '–' },
      { model: 'tiny-resnet', size: 64, cases: 1, 'pointing game %': '100.0' },
    ]);
    const unknown = await fullconv('evaluate', '--localization', dataset);
    expect(unknown).toMatchObject({ code: 1, stderr: 'fullconv: no category is a class of tiny-resnet\n' });
  });

  it('serve --help lists every setting with its variable, flag and default', async () => {
    const { stdout } = await fullconv('serve', '--help');
    const text = stdout.replace(/\s+/g, ' ');
    for (const { variable, flag } of SETTING_LIST) {
      expect(text).toContain(`${flag} <value>`);
      expect(text).toContain(`[${variable},`);
    }
  });
});
