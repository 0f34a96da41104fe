/**
 * An ONNX file and its files of external weights, hostile until proven otherwise. The result is a verified graph: all
 * weights lie inside the files they name, and these inside the model's folder. Large weights stay in their files.
 *
 * The ONNX file is whole in memory while it is read (protobuf's limit is 2 GiB); only small tensors are kept.
 */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Graph, Initializer } from '../../graph/graph.js';
import { readOnnx } from '../../graph/onnx/model.js';
import { sha256 } from './digest.js';
import { sizeInside } from './file-access.js';
import { explain, ModelFileError } from './model-file-error.js';

export interface OnnxFile {
  /** Paths of its external data are relative to the file's folder. */
  readonly graph: Graph;
  /** sha256 of the file. */
  readonly digest: string;
  /** sha256 of each external file of weights, hexadecimal, by its name in the graph. */
  readonly externalDigests: ReadonlyMap<string, string>;
}

const MAX_BYTES = 2 ** 31;

/** Read `file`. Throws ModelFileError naming the file and the faulty tensor, node or value. */
export async function readOnnxFile(file: string): Promise<OnnxFile> {
  const bytes = await readWhole(file);
  const graph = await explain(file, () => readOnnx(bytes, basename(file)));
  const digest = createHash('sha256').update(bytes).digest('hex');
  const tensors = [...graph.initializers.values(), ...attributeTensors(graph)];
  const files = new Set(tensors.flatMap(({ data }) => (data.kind === 'external' ? [data.file] : [])));
  const sizes = new Map<string, number>();
  for (const name of files) sizes.set(name, await sizeInside(dirname(file), name));
  for (const tensor of tensors) checkExtent(file, tensor, sizes);

  const externalDigests = new Map<string, string>();
  for (const name of files) {
    if (name !== basename(file)) externalDigests.set(name, await sha256(join(dirname(file), name)));
  }
  return { graph, digest, externalDigests };
}

async function readWhole(file: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(file);
    if (size > MAX_BYTES) {
      throw new ModelFileError(file, 'file', `has ${size} bytes; at most ${MAX_BYTES} are allowed`);
    }
    return await readFile(file);
  } catch (cause) {
    if (cause instanceof ModelFileError) throw cause;
    throw new ModelFileError(file, 'file', 'cannot be read', { cause });
  }
}

function attributeTensors({ nodes }: Graph): Initializer[] {
  return nodes.flatMap(({ attributes }) =>
    Object.values(attributes).flatMap((attribute) => (attribute.type === 'tensor' ? [attribute.value] : [])),
  );
}

function checkExtent(file: string, { name, data }: Initializer, sizes: ReadonlyMap<string, number>): void {
  if (data.kind !== 'external') return;
  const size = sizes.get(data.file)!;
  const end = data.offset + data.length;
  if (end > size) {
    const detail = `its data ends at byte ${end} of ${data.file}, which has ${size}`;
    throw new ModelFileError(file, `tensor "${name}"`, detail);
  }
}
