/**
 * Graph → ONNX messages. Inline data becomes raw_data and external data a reference, so nothing large is read or
 * copied. A weight that is stored in another type or order gets nodes that restore it.
 */
import { create } from '@bufbuild/protobuf';
import { int, ints } from '../attributes.js';
import { inlineConstant } from '../constants.js';
import type { Attribute, Graph, Initializer, Node, Quantization, ValueInfo } from '../graph.js';
import { GraphError } from '../graph-error.js';
import { DATA_TYPE_CODES } from './data-types.js';
import {
  AttributeProto_AttributeType as AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  ValueInfoProtoSchema,
  type AttributeProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from './proto/onnx_pb.js';

/** The oldest IR version for opset 18, so that as many engines as possible read it. */
const IR_VERSION = 8n;

const utf8 = new TextEncoder();

/** The message of a verified graph. Throws GraphError when a parameter is unbound. */
export function encodeModel(graph: Graph): ModelProto {
  const { nodes, initializers } = restoreStored(graph);
  return create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: 'fullconv',
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(graph.opset) }),
      ...domainsOf(graph).map((domain) => create(OperatorSetIdProtoSchema, { domain, version: 1n })),
    ],
    graph: create(GraphProtoSchema, {
      name: graph.name,
      input: graph.inputs.map(encodeValue),
      output: graph.outputs.map(encodeValue),
      node: nodes.map(encodeNode),
      initializer: initializers.map(encodeTensor),
    }),
  });
}

/**
 * Add the nodes that turn stored bytes into values (Transpose, Reshape, Cast, DequantizeLinear), ahead of all others.
 */
function restoreStored(graph: Graph): { nodes: readonly Node[]; initializers: readonly Initializer[] } {
  const steps: Node[] = [];
  const initializers = [...graph.initializers.values()].flatMap((initializer) => {
    const restored = restore(initializer);
    steps.push(...restored.nodes);
    return restored.initializers;
  });
  const names = new Set([...graph.inputs.map(({ name }) => name), ...graph.nodes.flatMap(({ outputs }) => outputs)]);
  for (const name of [...initializers.map((made) => made.name), ...steps.flatMap(({ outputs }) => outputs)]) {
    if (names.has(name)) throw new GraphError(`tensor "${name}": the name is taken`);
    names.add(name);
  }
  return { nodes: [...steps, ...graph.nodes], initializers };
}

/** `<name>.stored` as it is in the file, and the nodes that turn it into the value `<name>`. */
function restore(initializer: Initializer): { nodes: readonly Node[]; initializers: readonly Initializer[] } {
  const { name, dataType, dims, data, quantization } = initializer;
  if (quantization !== undefined) return dequantize(initializer, quantization);
  if (data.kind !== 'external') return { nodes: [], initializers: [initializer] };
  const { storedAs = dataType, arrangement } = data;
  const steps: Pick<Node, 'op' | 'inputs' | 'attributes'>[] = [];
  const constants: Initializer[] = [];
  if (arrangement !== undefined) {
    steps.push({ op: 'Transpose', inputs: [], attributes: { perm: ints(...arrangement.perm) } });
    const shape = inlineConstant(`${name}.shape`, 'int64', [dims.length], dims);
    steps.push({ op: 'Reshape', inputs: [shape.name], attributes: {} });
    constants.push(shape);
  }
  if (storedAs !== dataType) steps.push({ op: 'Cast', inputs: [], attributes: { to: int(DATA_TYPE_CODES[dataType]) } });
  if (steps.length === 0) return { nodes: [], initializers: [initializer] };

  const stored = { ...initializer, name: `${name}.stored`, dataType: storedAs, dims: arrangement?.dims ?? dims };
  const nodes = steps.map(({ op, inputs, attributes }, index): Node => {
    const stepName = `${name}.${op.toLowerCase()}`;
    const before = index === 0 ? stored.name : `${name}.${steps[index - 1]!.op.toLowerCase()}`;
    const output = index === steps.length - 1 ? name : stepName;
    return { op, name: stepName, inputs: [before, ...inputs], outputs: [output], attributes };
  });
  return { nodes, initializers: [stored, ...constants] };
}

function dequantize(
  { quantization: _, ...initializer }: Initializer,
  { storedAs, scale, zeroPoint, axis }: Quantization,
): { nodes: readonly Node[]; initializers: readonly Initializer[] } {
  const { name } = initializer;
  const stored = { ...initializer, name: `${name}.stored`, dataType: storedAs };
  const terms = [
    { ...scale, name: `${name}.scale` },
    ...(zeroPoint === undefined ? [] : [{ ...zeroPoint, name: `${name}.zero_point` }]),
  ];
  const node: Node = {
    op: 'DequantizeLinear',
    name: `${name}.dequantize`,
    inputs: [stored, ...terms].map((tensor) => tensor.name),
    outputs: [name],
    attributes: scale.dims.length === 0 ? {} : { axis: int(axis) },
  };
  return { nodes: [node], initializers: [stored, ...terms] };
}

function encodeValue({ name, dataType, dims }: ValueInfo): ValueInfoProto {
  const dim = dims.map((size) =>
    create(TensorShapeProto_DimensionSchema, {
      value: typeof size === 'string' ? { case: 'dimParam', value: size } : { case: 'dimValue', value: BigInt(size) },
    }),
  );
  const shape = create(TensorShapeProtoSchema, { dim });
  const value = create(TypeProto_TensorSchema, { elemType: DATA_TYPE_CODES[dataType], shape });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value } }),
  });
}

/** The domains of operators that are not ONNX's own: `domain:operator`. */
function domainsOf({ nodes }: Graph): string[] {
  return [...new Set(nodes.flatMap(({ op }) => (op.includes(':') ? [op.slice(0, op.indexOf(':'))] : [])))];
}

function encodeNode({ op, name, inputs, outputs, attributes }: Node): NodeProto {
  const end = op.indexOf(':');
  return create(NodeProtoSchema, {
    domain: op.slice(0, Math.max(0, end)),
    opType: op.slice(end + 1),
    name,
    input: [...inputs],
    output: [...outputs],
    attribute: Object.entries(attributes).map(([key, value]) => encodeAttribute(key, value)),
  });
}

function encodeAttribute(name: string, attribute: Attribute): AttributeProto {
  switch (attribute.type) {
    case 'int':
      return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(attribute.value) });
    case 'ints':
      return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: attribute.value.map(BigInt) });
    case 'float':
      return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: attribute.value });
    case 'floats':
      return create(AttributeProtoSchema, { name, type: AttributeType.FLOATS, floats: [...attribute.value] });
    case 'string':
      return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: utf8.encode(attribute.value) });
    case 'strings':
      return create(AttributeProtoSchema, {
        name,
        type: AttributeType.STRINGS,
        strings: attribute.value.map((text) => utf8.encode(text)),
      });
    case 'tensor':
      return create(AttributeProtoSchema, { name, type: AttributeType.TENSOR, t: encodeTensor(attribute.value) });
  }
}

function encodeTensor({ name, dataType, dims, data }: Initializer): TensorProto {
  const tensor = create(TensorProtoSchema, { name, dataType: DATA_TYPE_CODES[dataType], dims: dims.map(BigInt) });
  switch (data.kind) {
    case 'inline':
      tensor.rawData = data.bytes;
      return tensor;
    case 'external': {
      const entries = { location: data.file, offset: String(data.offset), length: String(data.length) };
      tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
      tensor.externalData = Object.entries(entries).map(([key, value]) =>
        create(StringStringEntryProtoSchema, { key, value }),
      );
      return tensor;
    }
    case 'unbound':
      throw new GraphError(`tensor "${name}": its weights are not bound, the graph cannot be written`);
  }
}
