/**
 * A built-in architecture with weights from a file: the builder's graph, bound and convolutionalized. No weight is read
 * here: safetensors are used in place, Keras' HDF5 is converted once.
 */
import { extname, join } from 'node:path';
import { buildArchitecture, isArchitecture, parametersOf } from '../../architectures/index.js';
import { convolutionalForm, type ConvolutionalForm } from '../../graph/convolutional-form.js';
import { countParameters } from '../../graph/cost.js';
import { mapGeometry } from '../../graph/geometry.js';
import type { Graph } from '../../graph/graph.js';
import { GraphError } from '../../graph/graph-error.js';
import { applyPasses } from '../../graph/pass.js';
import { bindWeights } from '../../graph/passes/bind-weights.js';
import { CLASS_MAP } from '../../graph/passes/convolutionalize-gemm.js';
import type { WeightsFile } from './converted-weights.js';
import type { FileStamp } from '../../regular-files.js';
import { stampModelFile } from '../files/file-access.js';
import { KERAS_ARCHITECTURES, kerasSources } from '../keras-applications/sources.js';
import { convertKerasWeights } from '../keras-applications/thread.js';
import { MANIFEST_FILE, nativeSizeOf, type ModelFolder } from '../manifest.js';
import { ModelFileError } from '../files/model-file-error.js';
import type { Network } from './network.js';
import { readSafetensors } from '../files/safetensors.js';
import { findNaming } from './weight-names.js';

/** Load the network and hash its weights. `cache` is for converted weights. Throws ModelFileError or GraphError. */
export async function loadBuiltIn(content: ModelFolder, cache: string): Promise<Network> {
  const built = build(content);
  const stamp = await stampModelFile(join(content.folder, content.manifest.weights.file));
  return bound(content, built, await readWeights(content, built, { stamp, cache }), stamp.sha256);
}

/** Weights that need not exist as a file. */
type UnstampedWeights = Omit<WeightsFile, 'stamp'> & Partial<Pick<WeightsFile, 'stamp'>>;

/** The network over the tensors of `weights`, which stay in their file. Throws ModelFileError or GraphError. */
export function builtInNetwork(content: ModelFolder, weights: UnstampedWeights, digest: string): Network {
  return bound(content, build(content), weights, digest);
}

function bound(content: ModelFolder, built: Graph, weights: UnstampedWeights, digest: string): Network {
  const nativeSize = nativeSizeOf(content.manifest);
  const classifier = applyPasses(built, [bindWeights(weights)]);
  return {
    classifier,
    dense: denseOf(convolutionalForm(classifier, nativeSize)),
    nativeSize,
    parameters: countParameters(built),
    ...outputOf(content),
    fileDigest: digest,
    weightsDigest: digest,
    weightsFolder: weights.folder,
    weightsFiles: weights.stamp === undefined ? [] : [{ name: weights.file, stamp: weights.stamp }],
  };
}

/** The fully convolutional net, if the cells of its map have places. */
function denseOf(form: ConvolutionalForm): Network['dense'] {
  try {
    mapGeometry(form.graph, CLASS_MAP);
    return form;
  } catch (error) {
    if (!(error instanceof GraphError)) throw error;
    return { unavailable: error.message };
  }
}

/** Read the weights by the file's extension. Safetensors are used in place. */
async function readWeights(
  content: ModelFolder,
  graph: Graph,
  { stamp, cache }: { readonly stamp: FileStamp; readonly cache: string },
): Promise<WeightsFile> {
  const { folder, manifest } = content;
  const file = join(folder, manifest.weights.file);
  const parameters = parametersOf(graph);
  switch (extname(file).toLowerCase()) {
    case '.h5':
    case '.hdf5': {
      const sources = kerasSources(manifest.architecture, parameters);
      if (sources !== undefined) return convertKerasWeights({ file, sources, stamp, cache });
      const names = KERAS_ARCHITECTURES.join(', ');
      throw manifestError(content, 'architecture', `has no weights in Keras; these architectures have: ${names}`);
    }
    case '.keras':
      throw new ModelFileError(file, 'file', "is Keras 3's own format; save the net with model.save('model.h5')");
    default: {
      const { tensors } = await readSafetensors(file);
      const names = parameters.map(({ name }) => name);
      const { nameOf } = findNaming(file, names, tensors);
      return { folder, file: manifest.weights.file, stamp, tensors, nameOf };
    }
  }
}

function manifestError({ folder }: ModelFolder, field: string, detail: string, cause?: unknown): ModelFileError {
  return new ModelFileError(join(folder, MANIFEST_FILE), field, detail, { cause });
}

/** The architectures all end in logits. */
function outputOf(content: ModelFolder): Pick<Network, 'output' | 'activation'> {
  const { output = 'logits' } = content.manifest;
  if (output === 'probabilities') throw manifestError(content, 'output', 'the architecture gives logits');
  return { output, activation: output === 'sigmoid' || content.labels.length === 1 ? 'sigmoid' : 'softmax' };
}

/** The unbound graph. Options that the architecture refuses are reported as faults of the manifest. */
function build(content: ModelFolder): Graph {
  const { architecture, options } = content.manifest;
  const { width, height } = nativeSizeOf(content.manifest);
  if (width !== height) throw manifestError(content, 'input.size', 'must be a square: the architecture takes no other');
  const given = { inputSize: width, classes: content.labels.length };
  if (!isArchitecture(architecture)) throw manifestError(content, 'architecture', `"${architecture}" is not built in`);
  try {
    return buildArchitecture(architecture, { ...options, ...given });
  } catch (cause) {
    throw manifestError(content, 'options', cause instanceof Error ? cause.message : String(cause), cause);
  }
}
