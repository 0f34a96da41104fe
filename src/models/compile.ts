/**
 * From a model's folder to what the engine runs. The architecture's graph gets its weights bound in place (external
 * data: no weight is read here), is convolutionalized, and is finished in three ways that share the same bytes:
 *
 *   classify   image → logits at the native size (any size for a net that ends in global average pooling)
 *   score      image → class map → mean over space: the logits of an image larger than the native size
 *   dense      image + classes → the maps of those classes (graph/passes/select-classes.ts)
 *
 * Source: Simonyan 2015 §3.2, Long 2015 (fully convolutional evaluation), Lin 2014 (global average pooling).
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { buildArchitecture } from '../architectures/index.js';
import { countMultiplyAdds, countParameters } from '../graph/cost.js';
import { mapGeometry, type MapGeometry } from '../graph/geometry.js';
import type { Graph } from '../graph/graph.js';
import { writeOnnx } from '../graph/onnx.js';
import { applyPasses, applyPass } from '../graph/pass.js';
import { addImageInput } from '../graph/passes/add-image-input.js';
import { averageClassMap } from '../graph/passes/average-class-map.js';
import { bindWeights } from '../graph/passes/bind-weights.js';
import { CLASS_MAP, convolutionalizeGemm } from '../graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../graph/passes/convolutionalize-global-pool.js';
import { selectClasses } from '../graph/passes/select-classes.js';
import { inferShapes } from '../graph/shapes.js';
import type { SessionSpec } from '../runtime/session.js';
import { MANIFEST_FILE, type Label, type Manifest, type ModelFolder } from './manifest.js';
import { ModelFileError } from './model-file-error.js';
import { readSafetensors } from './safetensors.js';

export type View = 'classify' | 'score' | 'dense';

export interface Size {
  readonly width: number;
  readonly height: number;
}

/** A model ready to be opened: its graphs, its numbers, its labels. Immutable. */
export interface CompiledModel {
  readonly manifest: Manifest;
  readonly labels: readonly Label[];
  /** sha256 over the manifest, the labels and the weights, hexadecimal: changes whenever an answer could. */
  readonly digest: string;
  readonly parameters: number;
  /** The size the classifier was made for, in pixels. */
  readonly nativeSize: number;
  /** The net ends in global average pooling: its `classify` view takes any size. */
  readonly poolsGlobally: boolean;
  /** Where the cells of the class map look, in input pixels. */
  readonly geometry: MapGeometry;
  readonly sessions: Readonly<Record<View, SessionSpec>>;
  /** The view that gives the logits of an input of this size. */
  classifyView(input: Size): 'classify' | 'score';
  /** Cells of the class map for an input; zero or less where the input is smaller than one window. */
  mapSize(input: Size): Size;
  /** Multiply-adds for one image of this size, convolutions and matrix products (an estimate for `classify`). */
  multiplyAdds(input: Size): number;
  /** Smallest side that yields one cell, in pixels. */
  readonly minimumSize: number;
}

/**
 * Build, bind and convolutionalize. Reads headers and hashes the files. `load` tells this load from all others of the
 * same model: no two share a session's id, which is `name@version#digest.load/view`. Throws ModelFileError or GraphError.
 */
export async function compileModel({ folder, manifest, labels }: ModelFolder, load: number): Promise<CompiledModel> {
  const manifestFile = join(folder, MANIFEST_FILE);
  const weightsFile = join(folder, manifest.weights.file);
  const [{ tensors }, weightsDigest] = await Promise.all([readSafetensors(weightsFile), sha256(weightsFile)]);
  if (manifest.weights.sha256 !== undefined && manifest.weights.sha256 !== weightsDigest) {
    throw new ModelFileError(
      weightsFile,
      'sha256',
      `is ${weightsDigest}, the manifest says ${manifest.weights.sha256}`,
    );
  }

  const nativeSize = Number(manifest.options?.['inputSize'] ?? manifest.input.size);
  const built = build(manifestFile, manifest, { inputSize: nativeSize, classes: labels.length });
  const classifier = applyPass(built, bindWeights({ file: manifest.weights.file, tensors })) ?? built;
  const pooled = applyPass(classifier, convolutionalizeGlobalPool());
  const convolutional = pooled ?? applyPass(classifier, convolutionalizeGemm(nativeSize));
  if (convolutional === undefined) {
    throw new ModelFileError(manifestFile, 'architecture', 'the head is neither a stack of Gemm nor pooled globally');
  }

  const imageInput = addImageInput(manifest.input);
  const digest = createHash('sha256')
    .update(JSON.stringify([manifest, labels, weightsDigest]))
    .digest('hex');
  const id = `${manifest.name}@${manifest.version}#${digest.slice(0, 8)}.${load}`;
  const session = (view: View, graph: Graph): SessionSpec => ({
    id: `${id}/${view}`,
    model: writeOnnx(graph),
    weightsFolder: folder,
  });
  const shapes = memoizeBySize((input) => inferShapes(convolutional, { input: [1, 3, input.height, input.width] }));
  const multiplyAdds = memoizeBySize((input) => countMultiplyAdds(convolutional, shapes(input)));
  const geometry = mapGeometry(convolutional, CLASS_MAP);
  const mapSize = (input: Size): Size => {
    const [, , height = 0, width = 0] = shapes(input).get(CLASS_MAP) ?? [];
    return { width, height };
  };

  return {
    manifest,
    labels,
    digest,
    parameters: countParameters(built),
    nativeSize,
    poolsGlobally: pooled !== undefined,
    geometry,
    sessions: {
      classify: session('classify', applyPasses(classifier, [imageInput])),
      score: session('score', applyPasses(convolutional, [averageClassMap(), imageInput])),
      dense: session('dense', applyPasses(convolutional, [selectClasses(), imageInput])),
    },
    classifyView: ({ width, height }) =>
      pooled !== undefined || (width === nativeSize && height === nativeSize) ? 'classify' : 'score',
    mapSize,
    multiplyAdds,
    minimumSize: smallestSide(nativeSize, mapSize),
  };
}

/** The unbound graph; options that the architecture does not take are the manifest's fault. */
function build(
  manifestFile: string,
  { architecture, options }: Manifest,
  given: { readonly inputSize: number; readonly classes: number },
): Graph {
  try {
    return buildArchitecture(architecture, { ...options, ...given });
  } catch (cause) {
    throw new ModelFileError(manifestFile, 'options', cause instanceof Error ? cause.message : String(cause), {
      cause,
    });
  }
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  try {
    await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash);
  } catch (cause) {
    throw new ModelFileError(file, 'file', 'cannot be read', { cause });
  }
  return hash.digest('hex');
}

/** The smallest square with one cell: the native size has one, and a larger input never has fewer. */
function smallestSide(nativeSize: number, mapSize: (input: Size) => Size): number {
  let without = 0;
  let withCell = nativeSize;
  while (withCell - without > 1) {
    const side = Math.floor((without + withCell) / 2);
    if (mapSize({ width: side, height: side }).width >= 1) withCell = side;
    else without = side;
  }
  return withCell;
}

/** Remember the latest sizes asked for; a client that sends ever new sizes must not make the memory grow. */
function memoizeBySize<T>(compute: (size: Size) => T, capacity = 64): (size: Size) => T {
  const known = new Map<string, T>();
  return (size) => {
    const key = `${size.width}x${size.height}`;
    const value = known.get(key) ?? compute(size);
    known.delete(key);
    known.set(key, value);
    const [oldest] = known.keys();
    if (known.size > capacity && oldest !== undefined) known.delete(oldest);
    return value;
  };
}
