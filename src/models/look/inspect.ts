/**
 * Finds and describes a model: a folder of FULLCONV_MODELS, any other model folder, a single ONNX file, or an
 * architecture by name, without weights, in its published form or another. It is compiled as for serving, but no session is opened. The
 * parity of an imported net is therefore known only if it was measured before.
 */
import { basename, dirname, join, resolve } from 'node:path';
import {
  buildArchitecture,
  isArchitecture,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../architectures/index.js';
import { OperatorError, UsageError } from '../../errors.js';
import { isFile } from '../../files.js';
import { byteSize } from '../../graph/constants.js';
import type { Graph } from '../../graph/graph.js';
import { nativeShapes } from '../../graph/native-shapes.js';
import type { StoredTensor } from '../../graph/passes/bind-weights.js';
import { elementCount } from '../../tensor.js';
import { builtInNetwork } from '../networks/built-in.js';
import { finishNetwork, loadNetwork, type CompiledModel } from '../compile.js';
import { describeModel, type Known, type ModelDescription } from './description.js';
import { MANIFEST_FILE, ONNX, readModelFolder, type ModelFolder } from '../manifest.js';
import { ModelFileError } from '../files/model-file-error.js';
import type { Network } from '../networks/network.js';
import { readOnnxFile } from '../files/onnx-file.js';
import { knownParity, trusted } from '../parity.js';
import { untrainedModel } from '../networks/untrained.js';

export interface InspectOptions {
  /** The setting FULLCONV_MODELS. */
  readonly models: string;
  /** The setting FULLCONV_CACHE. */
  readonly cache: string;
  /** Of an architecture; those that are not given have their published values. */
  readonly options?: ArchitectureOptions;
}

/**
 * Describe `what`, which names a model, a path, or an architecture; with `side`, its layers and its map for a square of so
 * many pixels. Throws OperatorError if it is none of these, and
 * ModelFileError or GraphError if it is faulty.
 */
export async function inspectModel(
  what: string,
  { side, ...inspect }: InspectOptions & { readonly side?: number | undefined },
): Promise<ModelDescription> {
  const { network, model, known } = await findModel(what, inspect);
  return describeModel(model, network, known, side === undefined ? undefined : { width: side, height: side });
}

/** A model that was found, compiled, without any session. */
export interface FoundModel extends Found {
  readonly model: CompiledModel;
}

/** Find and compile a model as inspectModel does, and with the same errors. */
export async function findModel(what: string, inspect: InspectOptions): Promise<FoundModel> {
  const { cache } = inspect;
  const found = await find(what, inspect);
  const model = finishNetwork(found.content, found.network, { load: 0 });
  const check = model.parityCheck;
  const parity = check && (await knownParity(check, cache));
  return { ...found, model: check && parity ? trusted(model, check, parity) : model };
}

/** The classifier's graph of what inspectModel takes, and its native size. Throws as inspectModel does. */
export async function findClassifier(
  what: string,
  inspect: InspectOptions,
): Promise<Pick<Network, 'classifier' | 'nativeSize'>> {
  return (await find(what, inspect)).network;
}

interface Found {
  readonly content: ModelFolder;
  readonly network: Network;
  readonly known: Known;
}

async function find(what: string, { models, cache, options = {} }: InspectOptions): Promise<Found> {
  if (Object.keys(options).length > 0) {
    if (!isArchitecture(what)) throw new UsageError(`Only an architecture takes options, and "${what}" is none.`);
    return withoutWeights(what, options);
  }
  for (const folder of [join(models, what), resolve(what)]) {
    if (!(await isFile(join(folder, MANIFEST_FILE)))) continue;
    const content = await readModelFolder(folder);
    return { content, network: await loadNetwork(content, cache), known: { weights: true, manifest: true } };
  }
  if (await isFile(what)) {
    const content = await onnxAlone(resolve(what));
    return { content, network: await loadNetwork(content, cache), known: { weights: true, manifest: false } };
  }
  if (isArchitecture(what)) return withoutWeights(what, {});
  throw new OperatorError(
    `There is no model "${what}" in ${models}, no such model folder or ONNX file, and no such architecture.`,
  );
}

/** The architecture over weights that do not exist, laid out as in a file. Throws UsageError for options that it refuses. */
function withoutWeights(architecture: ArchitectureName, given: ArchitectureOptions): Found {
  const { inputSize, classes, ...options } = given;
  const graph = unbound(architecture, given);
  const { manifest, labels } = untrainedModel(architecture);
  const form = Object.keys(given).length > 0 ? 'with the given options' : 'in its published form';
  const content: ModelFolder = {
    folder: '',
    labels: typeof classes === 'number' ? numberedLabels(classes) : labels,
    manifest: {
      ...manifest,
      name: architecture,
      description: `The architecture ${form}, without weights`,
      ...(Object.keys(options).length > 0 ? { options } : {}),
      input: { ...manifest.input, ...(typeof inputSize === 'number' ? { size: inputSize } : {}) },
    },
  };
  const tensors = new Map<string, StoredTensor>();
  let offset = 0;
  for (const { name, dims } of parametersOf(graph)) {
    const length = byteSize('float32', dims);
    tensors.set(name, { dataType: 'float32', dims, offset, length });
    offset += length;
  }
  const network = builtInNetwork(content, { folder: '', file: manifest.weights.file, tensors }, '');
  return { content, network, known: { weights: false, manifest: false } };
}

function unbound(architecture: ArchitectureName, options: ArchitectureOptions): Graph {
  try {
    return buildArchitecture(architecture, options);
  } catch (cause) {
    throw new UsageError(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function numberedLabels(count: number): ModelFolder['labels'] {
  return Array.from({ length: count }, (_, index) => ({ id: `class-${index}`, label: `class ${index}` }));
}

/**
 * The model folder that an ONNX file would need: its input size (224 if the file leaves it free) and one label for each
 * class. The other fields are placeholders, because nobody reads them.
 */
async function onnxAlone(file: string): Promise<ModelFolder> {
  const { graph } = await readOnnxFile(file);
  const sides = (graph.inputs[0]?.dims ?? []).slice(1).filter((dim) => typeof dim === 'number' && dim > 4);
  const size = Number(sides[0] ?? 224);
  const output = graph.outputs[0];
  const declared = output?.dims.slice(1) ?? [];
  const dims = declared.every((dim) => typeof dim === 'number')
    ? declared
    : nativeShapes(graph, size)
        .get(output?.name ?? '')
        ?.slice(1);
  if (dims === undefined || dims.length === 0) {
    throw new ModelFileError(file, 'output', 'does not tell the number of classes; use a model folder with labels');
  }
  return {
    folder: dirname(file),
    labels: numberedLabels(elementCount(dims)),
    manifest: {
      name: basename(file),
      version: '1',
      description: 'An ONNX file alone',
      architecture: ONNX,
      weights: { file: basename(file) },
      labels: '',
      input: {
        size,
        resize: size,
        interpolation: 'bilinear',
        channels: 'RGB',
        range: 255,
        mean: [0, 0, 0],
        std: [1, 1, 1],
      },
    },
  };
}
