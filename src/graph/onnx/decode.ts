/**
 * ONNX messages → graph. A file may hold anything, so each field is checked where it is used. The checks of verify.ts
 * (order, definitions, names, data lengths) are not repeated here. Source: onnx.proto.
 */
import { safeInteger } from '../constants.js';
import type { Attribute, Dim, Graph, Initializer, Node, ValueInfo } from '../graph.js';
import { GraphError } from '../graph-error.js';
import { freshNames } from '../names.js';
import { dataTypeName, dataTypeOf } from './data-types.js';
import {
  AttributeProto_AttributeType as AttributeType,
  type AttributeProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type ValueInfoProto,
} from './proto/onnx_pb.js';
import { decodeTensor } from './tensor.js';

/** The graph of a model, not yet verified. Throws GraphError for anything a graph cannot express. */
export function decodeModel(model: ModelProto): Graph {
  const { graph } = model;
  if (graph === undefined) throw new GraphError('not an ONNX model: it has no graph');
  if (model.irVersion < 3n)
    throw new GraphError(`IR version ${model.irVersion.toString()} is not supported, 3 is the oldest`);
  if (model.functions.length > 0) throw new GraphError('model-local functions are not supported');
  if (graph.sparseInitializer.length > 0) throw new GraphError('sparse initializers are not supported');

  const initializers = new Map<string, Initializer>();
  for (const proto of graph.initializer) {
    const initializer = decodeTensor(proto, proto.name);
    if (initializers.has(proto.name)) throw new GraphError(`tensor "${proto.name}" is defined twice`);
    initializers.set(proto.name, initializer);
  }
  const fresh = freshNames(new Set(graph.node.map(({ name }) => name)));
  const { node: nodes, output: outputs } = withoutZipMaps(graph);
  return absorbCasts({
    name: graph.name,
    opset: opsetOf(model),
    // Before IR version 4 initializers were listed among the inputs.
    inputs: graph.input.filter(({ name }) => !initializers.has(name)).map(decodeValue),
    outputs,
    nodes: nodes.map((node, index) => decodeNode(node, node.name || fresh(`${node.opType}_${index}`))),
    initializers,
  });
}

/**
 * The graph's nodes and outputs. scikit-learn's converters end a classifier in a ZipMap, a list of maps from class to probability, beside
 * the name of the best class: what goes into the ZipMap is the output then, and the rest is left out.
 */
function withoutZipMaps({ node, output }: GraphProto): { node: readonly NodeProto[]; output: readonly ValueInfo[] } {
  const zipped = node.filter(({ domain, opType }) => domain === 'ai.onnx.ml' && opType === 'ZipMap');
  const numbers = zipped
    .filter((zip) => output.some(({ name }) => zip.output[0] === name))
    .map(({ input }) => input[0]!);
  if (numbers.length === 0) return { node, output: output.map(decodeValue) };
  const needed = new Set(numbers);
  const kept = node.toReversed().filter((candidate) => {
    const isNeeded = candidate.output.some((name) => needed.has(name));
    if (isNeeded) for (const name of candidate.input) needed.add(name);
    return isNeeded;
  });
  return {
    node: kept.toReversed(),
    output: numbers.map((name) => ({ name, dataType: 'float32', dims: [`${name}.0`, `${name}.1`] })),
  };
}

function opsetOf({ opsetImport }: ModelProto): number {
  const versions = opsetImport.filter(({ domain }) => isDefaultDomain(domain)).map(({ version }) => Number(version));
  const [opset] = versions;
  if (opset === undefined || versions.length > 1 || !(opset > 0)) {
    throw new GraphError(`the model must import the default operator set once, imports it ${versions.length} times`);
  }
  return opset;
}

function isDefaultDomain(domain: string): boolean {
  return domain === '' || domain === 'ai.onnx';
}

function decodeValue({ name, type }: ValueInfoProto): ValueInfo {
  const fail = (detail: string): GraphError => new GraphError(`value "${name}": ${detail}`);
  if (type?.value.case !== 'tensorType') throw fail('is not a tensor');
  const { elemType, shape } = type.value.value;
  const dataType = dataTypeOf(elemType);
  if (dataType === undefined) throw fail(`data type ${dataTypeName(elemType)} is not supported`);
  if (shape === undefined) throw fail('has no shape');
  const dims = shape.dim.map(({ value }, axis): Dim => {
    if (value.case === 'dimParam' && value.value !== '') return value.value;
    if (value.case !== 'dimValue') return `${name}.${axis}`;
    const size = safeInteger(value.value);
    // Paddle and others write a free size as −1, some as 0.
    return size <= 0 ? `${name}.${axis}` : size;
  });
  return { name, dataType, dims };
}

/** Operators of ONNX Runtime itself, which other passes leave alone: `com.microsoft:FusedConv`. */
export const MICROSOFT = 'com.microsoft';

function decodeNode(proto: NodeProto, name: string): Node {
  if (!isDefaultDomain(proto.domain) && proto.domain !== MICROSOFT) {
    throw new GraphError(
      `node "${name}" (${proto.opType}): operators of the domain "${proto.domain}" are not known; export the model without them`,
    );
  }
  if (proto.opType === '') throw new GraphError(`node "${name}" has no operator`);
  const attributes = new Map<string, Attribute>();
  for (const attribute of proto.attribute) {
    if (attributes.has(attribute.name)) {
      throw new GraphError(`node "${name}" (${proto.opType}): attribute "${attribute.name}" is given twice`);
    }
    attributes.set(attribute.name, decodeAttribute(attribute, `node "${name}" (${proto.opType})`));
  }
  return {
    op: isDefaultDomain(proto.domain) ? proto.opType : `${proto.domain}:${proto.opType}`,
    name,
    inputs: proto.input,
    outputs: proto.output,
    attributes: Object.fromEntries(attributes),
  };
}

function decodeAttribute(proto: AttributeProto, owner: string): Attribute {
  const fail = (detail: string): GraphError => new GraphError(`${owner}: attribute "${proto.name}" ${detail}`);
  if (proto.refAttrName !== '') throw fail('refers to a function, which is not supported');
  switch (proto.type) {
    case AttributeType.INT:
      return { type: 'int', value: safeInteger(proto.i) };
    case AttributeType.INTS:
      return { type: 'ints', value: proto.ints.map(safeInteger) };
    case AttributeType.FLOAT:
      return { type: 'float', value: proto.f };
    case AttributeType.FLOATS:
      return { type: 'floats', value: proto.floats };
    case AttributeType.STRING:
      return { type: 'string', value: decodeText(proto.s, fail) };
    case AttributeType.STRINGS:
      return { type: 'strings', value: proto.strings.map((bytes) => decodeText(bytes, fail)) };
    case AttributeType.TENSOR:
      if (proto.t === undefined) throw fail('has no tensor');
      return { type: 'tensor', value: decodeTensor(proto.t, proto.t.name || proto.name) };
    case AttributeType.GRAPH:
    case AttributeType.GRAPHS:
      throw fail('is a subgraph, which is not supported');
    default:
      throw fail(`has the type ${typeName(proto.type)}, which is not supported`);
  }
}

function typeName(code: number): string {
  return (AttributeType as Readonly<Record<number, string>>)[code] ?? `number ${code}`;
}

function decodeText(bytes: Uint8Array, fail: (detail: string) => GraphError): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw fail('is not UTF-8');
  }
}

/** The inverse of the writer's Casts: `<name>.stored` → Cast → `<name>` is one initializer again. */
function absorbCasts(graph: Graph): Graph {
  const uses = new Map<string, number>();
  const used = [...graph.nodes.flatMap(({ inputs }) => inputs), ...graph.outputs.map(({ name }) => name)];
  for (const name of used) uses.set(name, (uses.get(name) ?? 0) + 1);
  const initializers = new Map(graph.initializers);
  const nodes = graph.nodes.filter((node) => {
    const [stored = '', ...others] = node.inputs;
    const [name = '', ...more] = node.outputs;
    const source = initializers.get(stored);
    const { to } = node.attributes;
    const dataType = to?.type === 'int' ? dataTypeOf(to.value) : undefined;
    const absorbed =
      node.op === 'Cast' && others.length + more.length === 0 && stored === `${name}.stored` && uses.get(stored) === 1;
    if (!absorbed || source?.data.kind !== 'external' || dataType === undefined || initializers.has(name)) return true;
    initializers.delete(stored);
    initializers.set(name, { ...source, name, dataType, data: { ...source.data, storedAs: source.dataType } });
    return false;
  });
  return { ...graph, nodes, initializers };
}
