/**
 * An ONNX file and the files its weights lie in, hostile until proven otherwise: what comes out of here is a verified
 * graph whose weights all lie inside the files they name, inside the model's folder. Large weights stay where they are.
 *
 * The file itself is in memory while it is read (protobuf ends at 2 GiB); nothing of it is kept but small tensors.
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
  /** Its external data is relative to the folder of the file. */
  readonly graph: Graph;
  /** sha256 of the file. */
  readonly digest: string;
  /** sha256 of each further file with weights, by its name in the graph. */
  readonly externalDigests: ReadonlyMap<string, string>;
}

const MAX_BYTES = 2 ** 31;

/** Read `file`. Throws ModelFileError naming the file and the tensor, node or value in it that is wrong. */
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
      throw new ModelFileError(file, 'file', `has ${size} bytes, an ONNX file at most ${MAX_BYTES}`);
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
