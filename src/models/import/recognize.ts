/**
 * Finds out what a file or a folder is that somebody wants served, by what is in it. Names count only where several files
 * could be meant. Nothing is decoded, and no more files are opened than a model folder has.
 */
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { z } from 'zod';
import { describeCut, kindOfFile, type FileKind } from '../files/file-kind.js';
import { describeKind, type FileKindName } from '../files/file-kinds.js';
import { readJson } from '../files/json-file.js';
import { ModelFileError } from '../files/model-file-error.js';
import { MANIFEST_FILE } from '../manifest.js';
import type { FormatName, Source } from './source.js';

export type Recognition =
  | { readonly kind: 'source'; readonly source: Source }
  /** A model folder of this program. */
  | { readonly kind: 'model' }
  /** A model that cannot be imported, and why; `reason` is a predicate. */
  | { readonly kind: 'refused'; readonly reason: string }
  /** Nothing that resembles a model; `reason` is a predicate. */
  | { readonly kind: 'none'; readonly reason: string };

/** Files of a folder that are looked at. */
const MAX_FILES = 1000;

/** Folders inside of one another that are looked into, if each holds no more than the next. */
const MAX_DEPTH = 2;

/** Files that lie beside models, and are none: not opened. */
const BESIDE =
  /^\.|\.(md|txt|json|csv|ya?ml|py|ipynb|js|ts|html?|jpe?g|png|webp|gif|avif|tiff?|bmp|svg|pdf|log|names|prototxt)$|^(licen[cs]e|notice|readme)/i;

/** Whether a file of that name is a text or a picture beside models. */
export function isBeside(name: string): boolean {
  return BESIDE.test(name);
}

/** The format of files of each kind that can be imported. */
const FORMAT_OF: Partial<Record<FileKindName, FormatName>> = {
  onnx: 'onnx',
  safetensors: 'safetensors',
  hdf5: 'keras',
  'keras-zip': 'keras',
  'torch-zip': 'pytorch',
  'torch-legacy': 'pytorch',
  'torch-tar': 'pytorch',
  zip: 'zip',
};

/** Kinds of files that are models, whether they can be imported or not. */
const MODELS: ReadonlySet<FileKindName> = new Set([
  ...(Object.keys(FORMAT_OF) as FileKindName[]),
  ...(['torch-script', 'tflite', 'saved-model', 'frozen-graph', 'openvino', 'coreml', 'caffe'] as const),
  ...(['ort', 'executorch', 'gguf', 'ncnn', 'pickle', 'git-lfs'] as const),
]);

/** Endings of files that somebody takes for models, whatever is in them. */
const MODEL_NAMES =
  /\.(onnx|pth?|ckpt|bin|safetensors|h5|hdf5|keras|tflite|pb|xml|mlmodel|mlpackage|mlmodelc|caffemodel|ort|pte|zip)$/i;

/** Whether a file has the name of a model, or begins as one does. Never rejects. */
export async function looksLikeModel(file: string): Promise<boolean> {
  if (MODEL_NAMES.test(file)) return true;
  if (BESIDE.test(basename(file))) return false;
  const kind = await kindOfFile(file).catch(() => undefined);
  return kind !== undefined && MODELS.has(kind.name);
}

/** What can be imported at a path. Throws ModelFileError if it is nothing: what it is, and what to do with it. */
export async function sourceAt(path: string): Promise<Source> {
  const found = await recognize(path);
  if (found.kind === 'source') return found.source;
  const reason = found.kind === 'model' ? 'is a model folder already; copy it into the folder of models' : found.reason;
  throw new ModelFileError(path, 'file', reason);
}

/** What the path is. Throws ModelFileError if it cannot be read. */
export async function recognize(path: string): Promise<Recognition> {
  const found = await stat(path);
  return found.isDirectory() ? recognizeFolder(resolve(path), 0) : recognizeFile(resolve(path));
}

async function recognizeFile(file: string): Promise<Recognition> {
  const kind = await kindOfFile(file);
  if (kind.isCut) return refused(describeCut(kind));
  const format = FORMAT_OF[kind.name];
  if (format === 'safetensors') return recognizeWeights(file);
  if (format !== undefined) return sourceOf(format, file);
  if (kind.name === 'json' || kind.name === 'tfjs-json') return recognizeJson(file);
  const reason = describeKind(kind.name, file);
  return MODELS.has(kind.name) || MODEL_NAMES.test(file) ? refused(reason) : { kind: 'none', reason };
}

const topology = z.looseObject({ modelTopology: z.looseObject({ node: z.unknown().optional() }) });
const configSchema = z.looseObject({
  model_type: z.string().optional(),
  architecture: z.string().optional(),
  architectures: z.array(z.string()).nullish(),
});

/** A JSON file that belongs to a model: TensorFlow.js's topology, Hugging Face's configuration, or a manifest. */
async function recognizeJson(file: string): Promise<Recognition> {
  const { value: json } = await readJson(file, z.unknown());
  const tfjs = topology.safeParse(json).data;
  if (tfjs !== undefined) return recognizeTfjs(file, tfjs);
  if (basename(file) === 'config.json' && isHuggingFace(json)) return recognizeFolder(dirname(file), MAX_DEPTH);
  if (basename(file) === MANIFEST_FILE) return { kind: 'model' };
  return { kind: 'none', reason: describeKind('json', file) };
}

/** Weights, whose net may be in the configuration beside them. */
async function recognizeWeights(file: string): Promise<Recognition> {
  const config = join(dirname(file), 'config.json');
  return (await isHuggingFaceConfig(config)) ? sourceOf('hugging-face', config) : sourceOf('safetensors', file);
}

/** Whether the file is there and is Hugging Face's configuration of a model. */
export async function isHuggingFaceConfig(file: string): Promise<boolean> {
  const found = await readJson(file, z.unknown()).catch(() => undefined);
  return isHuggingFace(found?.value);
}

function isHuggingFace(json: unknown): boolean {
  const { model_type: type, architecture, architectures } = configSchema.safeParse(json).data ?? {};
  return type !== undefined || architecture !== undefined || Array.isArray(architectures);
}

const teachable = z.looseObject({ packageName: z.string() });

async function recognizeTfjs(
  file: string,
  { modelTopology, ...rest }: z.output<typeof topology>,
): Promise<Recognition> {
  const isGraph = 'node' in modelTopology || rest['format'] === 'graph-model';
  if (isGraph) return sourceOf('tfjs-graph', file);
  const metadata = await readJson(join(dirname(file), 'metadata.json'), teachable).catch(() => undefined);
  return sourceOf(metadata === undefined ? 'tfjs-layers' : 'teachable-machine', file);
}

async function recognizeFolder(folder: string, depth: number): Promise<Recognition> {
  const entries = (await readdir(folder, { withFileTypes: true })).filter(({ name }) => !name.startsWith('.'));
  if (entries.length > MAX_FILES) return { kind: 'none', reason: `is a folder of more than ${MAX_FILES} files` };
  const names = new Set(entries.map(({ name }) => name));
  if (names.has(MANIFEST_FILE)) {
    const found = await recognizeJson(join(folder, MANIFEST_FILE)).catch(() => ({ kind: 'model' }) as const);
    if (found.kind !== 'none') return found;
  }
  if (names.has('saved_model.pb')) return refused(describeKind('saved-model', join(folder, 'saved_model.pb')));
  if (names.has('coremldata.bin') || (names.has('Manifest.json') && folder.endsWith('.mlpackage'))) {
    return refused(describeKind('coreml', folder));
  }
  const files = entries.filter((entry) => !entry.isDirectory() && !BESIDE.test(entry.name));
  const kinds: { file: string; kind: FileKind }[] = [];
  for (const { name } of files) {
    const file = join(folder, name);
    const kind = await kindOfFile(file).catch(() => undefined);
    if (kind !== undefined) kinds.push({ file, kind });
  }
  if (names.has('config.json') && (await isHuggingFaceConfig(join(folder, 'config.json'))))
    return recognizeHuggingFace(
      folder,
      kinds,
      entries.some(({ name }) => name === 'onnx'),
    );
  const models = kinds.filter(({ kind }) => FORMAT_OF[kind.name] !== undefined);
  if (models.length === 1 && models[0]!.kind.isCut) return insteadOf(models[0]!.file);
  if (models.length > 0) return recognizeOneOf(models.map(({ file }) => file));
  const other = kinds.find(({ kind }) => MODELS.has(kind.name)) ?? kinds.find(({ file }) => MODEL_NAMES.test(file));
  if (other !== undefined) return insteadOf(other.file);
  const folders = entries.filter((entry) => entry.isDirectory());
  if (folders.length === 1 && depth < MAX_DEPTH) return recognizeFolder(join(folder, folders[0]!.name), depth + 1);
  return { kind: 'none', reason: 'is a folder without a file that could be a model' };
}

/** What a folder is refused for: a file in it that is no model, or none that can be imported. */
async function insteadOf(file: string): Promise<Recognition> {
  const found = await recognizeFile(file);
  return found.kind === 'refused' || found.kind === 'none'
    ? refused(`holds ${basename(file)}, which ${found.reason}`)
    : found;
}

/** Hugging Face's configuration, and weights in one of several formats. */
function recognizeHuggingFace(
  folder: string,
  kinds: readonly { readonly file: string; readonly kind: FileKind }[],
  hasOnnx: boolean,
): Promise<Recognition> | Recognition {
  const cut = kinds.find(({ kind }) => kind.isCut);
  if (cut !== undefined) return refused(`holds ${basename(cut.file)}, which ${describeCut(cut.kind)}`);
  const has = (name: FileKindName): boolean => kinds.some(({ kind }) => kind.name === name);
  if (has('safetensors')) return sourceOf('hugging-face', join(folder, 'config.json'));
  const rest = kinds.filter(({ kind }) => FORMAT_OF[kind.name] !== undefined);
  if (rest.length > 0) return recognizeOneOf(rest.map(({ file }) => file));
  if (hasOnnx) return recognizeFolder(join(folder, 'onnx'), MAX_DEPTH);
  const pointer = kinds.find(({ kind }) => kind.name === 'git-lfs');
  if (pointer !== undefined) return insteadOf(pointer.file);
  return refused("has Hugging Face's config.json, but no weights beside it (model.safetensors)");
}

/** Names that a model has where there are several beside it, the first before the others. */
const USUAL = ['model.onnx', 'model.safetensors', 'keras_model.h5', 'model.keras', 'model.h5', 'pytorch_model.bin'];

function recognizeOneOf(files: readonly string[]): Promise<Recognition> | Recognition {
  const usual = USUAL.flatMap((name) => files.find((file) => basename(file) === name) ?? []);
  const [chosen = files.length === 1 ? files[0] : undefined] = usual;
  if (chosen !== undefined) return recognizeFile(chosen);
  const names = files.map((file) => basename(file)).sort();
  const shown = names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '');
  return refused(`holds ${names.length} models (${shown}); name one of them`);
}

function refused(reason: string): Recognition {
  return { kind: 'refused', reason };
}

function sourceOf(format: FormatName, file: string): Recognition {
  return { kind: 'source', source: { format, file, folder: dirname(file), name: nameOf(file) } };
}

/** Names that say nothing of a model: its folder's says more. */
const EMPTY_NAMES =
  /^(?:(?:keras|pytorch|tf|torch|converted)?[._-]?(?:model|keras|weights|config)(?:[._-](?:fp16|fp32|quantized|optimized))?|best|last|onnx|tfjs|web[._-]?model|checkpoint|index|group1|download|export(?:ed)?)$/i;

/** The repository's name in a path of the cache of Hugging Face's hub. */
const HUB_CACHE = /\/models--[^/]+--([^/]+)\/snapshots\//;

/** A valid name of a model for a path. */
export function nameOf(path: string): string {
  const [, repository] = HUB_CACHE.exec(path) ?? [];
  if (repository !== undefined) return nameOf(`/${repository}/model`);
  for (let place = path; ; place = dirname(place)) {
    const file = basename(place);
    const stem = place === path ? basename(file, /^\.[a-z]\w{0,11}$/i.test(extname(file)) ? extname(file) : '') : file;
    const name = stem
      .normalize('NFKD')
      .replace(/[^a-z0-9._-]+/gi, '-')
      .replace(/^[^a-z0-9]+/i, '')
      .replace(/-+$/, '')
      .slice(0, 100);
    if (dirname(place) === place) return name === '' ? 'imported' : name;
    if (name !== '' && !EMPTY_NAMES.test(name)) return name;
  }
}
