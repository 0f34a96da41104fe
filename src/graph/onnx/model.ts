/**
 * The ONNX wire format: bytes ↔ graph. Only the default operator domain, dense tensors and flat graphs are supported;
 * anything else in a file is refused by name. Large weights stay outside of the bytes, as external data.
 *
 * A parameter whose file holds another type (`storedAs`) or another order (`arrangement`) becomes an external tensor
 * `<name>.stored` and a Cast or Transpose, which the engine evaluates once when it loads; the reader absorbs such a
 * Cast again.
 *
 * Source: onnx.proto (IR version 8 to 13), ONNX "External data".
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Graph } from '../graph.js';
import { GraphError } from '../graph-error.js';
import { verifyGraph } from '../verify.js';
import { decodeModel } from './decode.js';
import { encodeModel } from './encode.js';
import { readOutline, type ByteSource } from './outline.js';
import { ModelProtoSchema, TensorShapeProtoSchema, type ModelProto } from './proto/onnx_pb.js';

/**
 * Read a model from a file of any size, whose bytes may be hostile. Large tensors are not read: they refer to their place
 * in `file`. Such a graph must be lifted (passes/lift-constants.ts) before it is written, because an attribute's tensor
 * cannot be external. Throws GraphError naming the node or tensor that is malformed or not supported, or the limit that the
 * file exceeds.
 */
export async function readOnnxInPlace(source: ByteSource, file: string): Promise<Graph> {
  return readOnnx(await readOutline(source, file));
}

/**
 * Read a model from bytes that this program wrote, or whose number is small. Tensors are copied, so the caller may reuse
 * the bytes. Throws GraphError naming the node or tensor that is malformed or not supported.
 */
export function readOnnx(given: Uint8Array): Graph {
  // A Buffer's slice is a view of it, which would keep the whole file in memory; a Uint8Array's is a copy.
  const bytes = new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  let model: ModelProto;
  try {
    model = fromBinary(ModelProtoSchema, bytes);
  } catch (cause) {
    throw new GraphError(`not an ONNX model: ${cause instanceof Error ? cause.message : 'undecodable'}`, { cause });
  }
  const graph = decodeModel(model);
  verifyGraph(graph);
  return graph;
}

/** Write a graph: a few KB, because large weights are references. Throws GraphError when a parameter is unbound. */
export function writeOnnx(graph: Graph): Uint8Array {
  verifyGraph(graph);
  return toBinary(ModelProtoSchema, encodeModel(graph));
}

/**
 * A copy of a written model that takes only these shapes, given by input name: an engine that knows every size can plan
 * its memory. The original model must take the shapes.
 */
export function fixInputShapes(model: Uint8Array, shapes: Readonly<Record<string, readonly number[]>>): Uint8Array {
  const proto = fromBinary(ModelProtoSchema, model);
  for (const { name, type } of proto.graph?.input ?? []) {
    const dims = shapes[name];
    if (dims === undefined || type?.value.case !== 'tensorType') continue;
    type.value.value.shape = create(TensorShapeProtoSchema, {
      dim: dims.map((size) => ({ value: { case: 'dimValue' as const, value: BigInt(size) } })),
    });
  }
  return toBinary(ModelProtoSchema, proto);
}
