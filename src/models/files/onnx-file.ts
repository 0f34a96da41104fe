/**
 * An ONNX file and its files of external weights, hostile until proven otherwise. The result is a verified graph: all
 * weights lie inside the files they name, and these inside the model's folder. Large weights stay in their files, which
 * are never whole in memory.
 */
import { basename, dirname, join } from 'node:path';
import type { Graph, Initializer } from '../../graph/graph.js';
import { readOnnxInPlace } from '../../graph/onnx/model.js';
import type { StampedFile } from '../../regular-files.js';
import { openModelFile, readExactly, sizeInside, stampModelFile } from './file-access.js';
import { refusalOf } from './file-kind.js';
import { explain, ModelFileError } from './model-file-error.js';

export interface OnnxFile {
  /** Paths of its external data are relative to the file's folder. */
  readonly graph: Graph;
  /** The file itself, then each external file of weights, by its name in the graph. */
  readonly files: readonly [StampedFile, ...StampedFile[]];
}

/** Read `file`. Throws ModelFileError naming the file and the faulty tensor, node or value. */
export async function readOnnxFile(file: string): Promise<OnnxFile> {
  const own = { name: basename(file), stamp: await stampModelFile(file) };
  const graph = await readGraph(file);
  const tensors = [...graph.initializers.values(), ...attributeTensors(graph)];
  const names = new Set(tensors.flatMap(({ data }) => (data.kind === 'external' ? [data.file] : [])));
  const sizes = new Map<string, number>();
  for (const name of names) sizes.set(name, await sizeInside(dirname(file), name));
  for (const tensor of tensors) checkExtent(file, tensor, sizes);

  const others: StampedFile[] = [];
  for (const name of names) {
    if (name !== own.name) others.push({ name, stamp: await stampModelFile(join(dirname(file), name)) });
  }
  return { graph: await withIntegers(graph, dirname(file)), files: [own, ...others] };
}

async function readGraph(file: string): Promise<Graph> {
  const handle = await openModelFile(file);
  try {
    const { size } = await handle.stat();
    const read = (position: number, length: number) => readExactly(handle, file, length, position);
    return await explain(file, () => readOnnxInPlace({ size, read }, basename(file)));
  } catch (error) {
    throw isUnreadable(error) ? await refusalOf(file, 'onnx', { cause: error }) : error;
  } finally {
    await handle.close();
  }
}

/** Whether the bytes are no ONNX model: what a decoder met in them says nothing to people. */
function isUnreadable(error: unknown): boolean {
  return error instanceof ModelFileError && error.detail.startsWith(NOT_ONNX);
}

const NOT_ONNX = 'not an ONNX model';

function attributeTensors({ nodes }: Graph): Initializer[] {
  return nodes.flatMap(({ attributes }) =>
    Object.values(attributes).flatMap((attribute) => (attribute.type === 'tensor' ? [attribute.value] : [])),
  );
}

/** Limit in bytes for integers that are read: sizes, places and orders, which passes look at. Weights are larger. */
const MAX_INTEGER_BYTES = 2 ** 16;

/** The graph with its integers in memory, wherever the file keeps them. */
async function withIntegers(graph: Graph, folder: string): Promise<Graph> {
  const initializers = new Map(graph.initializers);
  for (const [name, initializer] of initializers) {
    const { data, dataType } = initializer;
    const isSmall = data.kind === 'external' && data.length <= MAX_INTEGER_BYTES;
    if (!isSmall || (dataType !== 'int64' && dataType !== 'int32')) continue;
    const bytes = await readPart(join(folder, data.file), data.offset, data.length);
    initializers.set(name, { ...initializer, data: { kind: 'inline', bytes } });
  }
  return { ...graph, initializers };
}

async function readPart(file: string, offset: number, length: number): Promise<Uint8Array> {
  const handle = await openModelFile(file);
  try {
    return await readExactly(handle, file, length, offset);
  } finally {
    await handle.close();
  }
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
