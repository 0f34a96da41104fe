/**
 * Serves an architecture without training, for load tests: generated weights cost the engine as much as trained ones.
 * The written folder is an ordinary model folder. The model's name ends in `-untrained`, so that nobody mistakes it for
 * a trained one.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  imageChannels,
  initialValues,
  isArchitecture,
  nativeForm,
  type ArchitectureName,
} from '../../architectures/index.js';
import { OperatorError, UsageError } from '../../errors.js';
import { isFile } from '../../files.js';
import type { Graph } from '../../graph/graph.js';
import { writeGeneratedWeights } from './generated-weights.js';
import { MANIFEST_FILE, type InputPreset, type Manifest, type ModelFolder } from '../manifest.js';

/** Side of the crop as a part of the short side: 224 of 256 pixels. */
const CROP = 0.875;

/** ImageNet's mean and deviation, and MNIST's. */
const COLOUR = { channels: 'RGB', mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] } satisfies Preset;
const GREY = { channels: 'GRAY', mean: [0.1307], std: [0.3081] } satisfies Preset;

type Preset = Pick<InputPreset, 'channels' | 'mean' | 'std'>;

const WEIGHTS_FILE = 'model.safetensors';

/**
 * Make sure that the model folder of an untrained architecture exists below `cache`, and return its path. Throws
 * UsageError for an unknown architecture, and OperatorError if the folder cannot be written.
 */
export async function prepareUntrained(cache: string, architecture: string): Promise<string> {
  if (!isArchitecture(architecture)) {
    const names = ARCHITECTURE_NAMES.join(', ');
    throw new UsageError(`FULLCONV_UNTRAINED=${architecture}: there is no such architecture; there are: ${names}`);
  }
  const folder = join(cache, 'untrained', architecture);
  await writeModel(folder, architecture).catch((cause: unknown) => {
    if (!(cause instanceof Error && 'syscall' in cause)) throw cause;
    throw new OperatorError(`FULLCONV_CACHE=${cache}: the generated weights cannot be written: ${cause.message}`, {
      cause,
    });
  });
  return folder;
}

/** Write the files; weights that are there stay. */
async function writeModel(folder: string, architecture: ArchitectureName): Promise<void> {
  await mkdir(folder, { recursive: true });
  const { manifest, labels } = untrainedModel(architecture);
  await writeFile(join(folder, manifest.labels), JSON.stringify(labels));
  await writeFile(join(folder, MANIFEST_FILE), JSON.stringify(manifest, null, 2));
  const weights = join(folder, WEIGHTS_FILE);
  if (!(await isFile(weights))) {
    const graph = buildArchitecture(architecture);
    await writeGeneratedWeights(weights, graph, { gain: gainFor(graph), initial: initialValues(architecture) });
  }
}

/** Manifest and labels of an architecture in its published form. */
export function untrainedModel(architecture: ArchitectureName): Omit<ModelFolder, 'folder'> {
  const { inputSize, classes } = nativeForm(architecture);
  const manifest: Manifest = {
    name: `${architecture}-untrained`,
    version: '1',
    description: 'Generated weights, for load tests only: the answers mean nothing.',
    architecture,
    weights: { file: WEIGHTS_FILE },
    labels: 'labels.json',
    input: {
      size: inputSize,
      resize: Math.round(inputSize / CROP),
      interpolation: 'bilinear',
      range: 255,
      ...(imageChannels(architecture) === 1 ? GREY : COLOUR),
    },
  };
  const labels = Array.from({ length: classes }, (_, index) => ({ id: `class-${index}`, label: `class ${index}` }));
  return { manifest, labels };
}

/**
 * Each block of a residual net adds a branch with the variance of its input, so the sum over more than two hundred
 * blocks would overflow float32 (ResNet-1202). Weights of half the size give a branch at most 1/16 of that variance.
 */
function gainFor(graph: Graph): number {
  const blocks = graph.nodes.filter(({ op }) => op === 'Add').length;
  return blocks > 100 ? 0.5 : 1;
}
