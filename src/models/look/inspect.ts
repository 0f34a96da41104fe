/**
 * A model to look at: a folder of FULLCONV_MODELS, any other model folder, an ONNX file alone, or an architecture in its
 * published form, which has no weights. It is compiled as for serving, but no session is opened: whether an imported net
 * may be trusted is known only if it was measured before.
 */
import { basename, dirname, join, resolve } from 'node:path';
import { buildArchitecture, isArchitecture, parametersOf, type ArchitectureName } from '../../architectures/index.js';
import { OperatorError } from '../../errors.js';
import { isFile } from '../../files.js';
import { byteSize } from '../../graph/constants.js';
import { nativeShapes } from '../../graph/native-shapes.js';
import type { StoredTensor } from '../../graph/passes/bind-weights.js';
import { elementCount } from '../../tensor.js';
import { builtInNetwork } from '../networks/built-in.js';
import { finishNetwork, loadNetwork } from '../compile.js';
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
}

/**
 * Describe what `what` names: a model, a path, or an architecture. Throws OperatorError when it is none of these, or
 * what is wrong with it.
 */
export async function inspectModel(what: string, { models, cache }: InspectOptions): Promise<ModelDescription> {
  const { content, network, known } = await find(what, { models, cache });
  const model = finishNetwork(content, network, { load: 0 });
  const check = model.parityCheck;
  const parity = check && (await knownParity(check, cache));
  return describeModel(check && parity ? trusted(model, check, parity) : model, network, known);
}

interface Found {
  readonly content: ModelFolder;
  readonly network: Network;
  readonly known: Known;
}

async function find(what: string, { models, cache }: InspectOptions): Promise<Found> {
  for (const folder of [join(models, what), resolve(what)]) {
    if (!(await isFile(join(folder, MANIFEST_FILE)))) continue;
    const content = await readModelFolder(folder);
    return { content, network: await loadNetwork(content, cache), known: { weights: true, manifest: true } };
  }
  if (await isFile(what)) {
    const content = await onnxAlone(resolve(what));
    return { content, network: await loadNetwork(content, cache), known: { weights: true, manifest: false } };
  }
  if (isArchitecture(what)) return { ...published(what), known: { weights: false, manifest: false } };
  throw new OperatorError(
    `There is no model "${what}" in ${models}, no such model folder or ONNX file, and no such architecture.`,
  );
}

/** The architecture over weights that are nowhere, laid out as a file would have them. */
function published(architecture: ArchitectureName): Pick<Found, 'content' | 'network'> {
  const { manifest, labels } = untrainedModel(architecture);
  const description = 'The architecture in its published form, without weights';
  const content = { folder: '', labels, manifest: { ...manifest, name: architecture, description } };
  const tensors = new Map<string, StoredTensor>();
  let offset = 0;
  for (const { name, dims } of parametersOf(buildArchitecture(architecture))) {
    const length = byteSize('float32', dims);
    tensors.set(name, { dataType: 'float32', dims, offset, length });
    offset += length;
  }
  return { content, network: builtInNetwork(content, { folder: '', file: manifest.weights.file, tensors }, '') };
}

/**
 * What a manifest would have to say of an ONNX file: its size, where it leaves that free 224, and as many classes. The
 * rest of it is not looked at.
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
    throw new ModelFileError(
      file,
      'output',
      'the number of classes cannot be told; a model folder with labels says it',
    );
  }
  return {
    folder: dirname(file),
    labels: Array.from({ length: elementCount(dims) }, (_, index) => ({
      id: `class-${index}`,
      label: `class ${index}`,
    })),
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
