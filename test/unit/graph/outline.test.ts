import { create, toBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { describe, expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { readOnnx, readOnnxInPlace, writeOnnx } from '../../../src/graph/onnx/model.js';
import { readOutline, type ByteSource } from '../../../src/graph/onnx/outline.js';
import { ModelProtoSchema, TensorProto_DataType as Type } from '../../../src/graph/onnx/proto/onnx_pb.js';
import { fileOf } from '../../support/byte-source.js';
import { withGeneratedWeights } from '../../support/ort.js';
import { HEADS, tinyClassifier } from '../../support/tiny-classifiers.js';

/** Protocol buffers by hand: fields of a length, and numbers. */
const varint = (value: number): number[] =>
  value < 128 ? [value] : [(value % 128) | 128, ...varint(Math.floor(value / 128))];
const field = (number: number, ...parts: (Uint8Array | number[])[]): Buffer => {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(content.length)]), content]);
};
const text = (number: number, value: string): Buffer => field(number, Buffer.from(value));
const modelOf = (...graph: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from([8, 8]), field(8, [16, 18]), field(7, ...graph)]);
const NODE = 1;
const TENSOR = 5;

/** A file that notes how many of its bytes were read. */
function counted(bytes: Uint8Array): ByteSource & { readonly read: ByteSource['read']; bytesRead: number } {
  const source = fileOf(bytes);
  const counting = {
    size: bytes.length,
    bytesRead: 0,
    read(position: number, length: number) {
      counting.bytesRead += length;
      return source.read(position, length);
    },
  };
  return counting;
}

const refused = (bytes: Uint8Array): Promise<unknown> =>
  readOutline(fileOf(bytes), 'net.onnx').then(
    () => 'not refused',
    (error: unknown) => error,
  );

describe('the outline of an ONNX file', () => {
  it.each(HEADS.map((head) => [head.name, head] as const))(
    'has the same graph where all weights are small: %s',
    async (_, head) => {
      const bytes = writeOnnx(tinyClassifier(head));
      const small = await readOnnxInPlace(fileOf(bytes), 'net.onnx');
      const whole = readOnnx(bytes);
      expect({ ...small, initializers: undefined }).toEqual({ ...whole, initializers: undefined });
      for (const [name, { data, ...rest }] of whole.initializers) {
        const { data: found, ...other } = small.initializers.get(name)!;
        expect(other).toEqual(rest);
        if (data.kind !== 'inline') throw new Error('the writer has kept nothing inline');
        const values = found.kind === 'external' ? bytes.slice(found.offset, found.offset + found.length) : undefined;
        expect(found.kind === 'inline' ? found.bytes : values).toEqual(data.bytes);
        expect(found.kind).toBe(data.bytes.length > 1024 ? 'external' : 'inline');
      }
    },
  );

  it('of a file with many megabytes of weights is small, and only what is around the weights is read', async () => {
    const bytes = writeOnnx(withGeneratedWeights(buildArchitecture('resnet18', { width: 32, classes: 10 })));
    const source = counted(bytes);
    const outline = await readOutline(source, 'net.onnx');
    expect(bytes.length).toBeGreaterThan(1e7);
    expect(outline.length).toBeLessThan(100_000);
    expect(source.bytesRead).toBeLessThan(bytes.length);
    expect(readOnnx(outline).nodes).toEqual(readOnnx(bytes).nodes);
  });

  it('has floats that are spelled out at their place in the file, where the engine finds the same bytes', async () => {
    const floatData = Array.from({ length: 500 }, (_, index) => Math.fround(index / 7));
    const doubleData = Array.from({ length: 300 }, (_, index) => index / 7);
    const bytes = messageOf([
      { name: 'f', dims: [500n], dataType: Type.FLOAT, floatData },
      { name: 'd', dims: [300n], dataType: Type.DOUBLE, doubleData },
    ]);
    const { initializers } = await readOnnxInPlace(fileOf(bytes), 'net.onnx');
    const bytesOf = (name: string): ArrayBuffer => {
      const { data } = initializers.get(name)!;
      if (data.kind !== 'external') throw new Error(`${name} was copied`);
      return bytes.slice(data.offset, data.offset + data.length).buffer;
    };
    expect([...new Float32Array(bytesOf('f'))]).toEqual(floatData);
    expect([...new Float64Array(bytesOf('d'))]).toEqual(doubleData);
  });

  it('leaves out what graphs do not have, however much there is of it', async () => {
    const notes = Buffer.concat(Array.from({ length: 1000 }, (_, index) => text(10, `a note, number ${index}`)));
    const plain = messageOf([]);
    const noted = Buffer.concat([plain, field(7, notes)]);
    expect(readOnnx(await readOutline(fileOf(noted), 'net.onnx'))).toEqual(readOnnx(plain));
    expect((await readOutline(fileOf(noted), 'net.onnx')).length).toBeLessThan(plain.length + 100);
  });

  it.each<[string, Buffer, RegExp]>([
    ['empty nodes', modelOf(Buffer.from('0a00'.repeat(2 ** 20), 'hex')), /more than 16384 nodes/],
    ['empty tensors', modelOf(Buffer.from('2a00'.repeat(2 ** 20), 'hex')), /more than 262144 messages/],
    ['names', modelOf(field(NODE, Buffer.from('0a00'.repeat(2 ** 21), 'hex'))), /more than 1048576 fields/],
    ['notes', modelOf(Buffer.from('6a00'.repeat(2 ** 21), 'hex')), /more than 1048576 fields/],
    ['dimensions', modelOf(field(TENSOR, field(1, Buffer.alloc(2 ** 21)))), /more than 1048576 long integers/],
    ['long integers', modelOf(field(TENSOR, field(7, Buffer.alloc(2 ** 21)))), /more than 1048576 long integers/],
    ['integers', modelOf(field(TENSOR, field(5, Buffer.alloc(2 ** 23)))), /more than 4194304 numbers/],
    ['floats one by one', modelOf(field(TENSOR, Buffer.alloc(5 * 2 ** 21, Buffer.from([37, 0, 0, 0, 0])))), /fields/],
    [
      'floats of an attribute, all of whose bytes are above 127',
      modelOf(field(NODE, field(5, field(7, Buffer.alloc(2 ** 25, 255))))),
      /more than 4194304 numbers/,
    ],
    ['a name of megabytes', modelOf(text(2, 'a'.repeat(2 ** 22))), /a text of 4194304 bytes; at most 4096/],
  ])('is refused for too many of one kind: %s', async (_, bytes, message) => {
    const error = await refused(bytes);
    expect(error).toBeInstanceOf(GraphError);
    expect((error as Error).message).toMatch(message);
  });

  it.each<[string, Buffer, RegExp]>([
    [
      'a field longer than its message',
      Buffer.concat([modelOf(), Buffer.from([58, 100, 1])]),
      /longer than its message/,
    ],
    ['a number without an end', Buffer.alloc(40, 255), /no end/],
    ['a length of 60 bits', Buffer.from('3affffffffffffffff0f', 'hex'), /no end|too large|longer/],
    ['a wire type that there is not', Buffer.from([15]), /wire type 7/],
    ['a text that is a number', modelOf(Buffer.from([16, 1])), /field 2 is not a text/],
    ['a number that is a text', text(1, 'eight'), /field 1 is not a number/],
    [
      'data that is given twice',
      modelOf(field(TENSOR, field(9, Buffer.alloc(2000)), field(9, Buffer.alloc(2000)))),
      /data of a tensor is given twice/,
    ],
  ])('is refused for %s', async (_, bytes, message) => {
    const error = await refused(bytes);
    expect(error).toBeInstanceOf(GraphError);
    expect((error as Error).message).toMatch(message);
  });

  it('throws nothing but GraphError whatever byte of a file is damaged, and reads nothing outside of it', async () => {
    const bytes = writeOnnx(tinyClassifier(HEADS[0]!));
    const strict = (damaged: Uint8Array): ByteSource => ({
      size: damaged.length,
      read(position, length) {
        expect(position + length).toBeLessThanOrEqual(damaged.length);
        return Promise.resolve(damaged.slice(position, position + length));
      },
    });
    for (let i = 0; i < bytes.length; i += 3) {
      for (const damage of [0x00, 0x7f, 0x80, 0xff]) {
        try {
          await readOnnxInPlace(strict(bytes.with(i, damage)), 'net.onnx');
        } catch (error) {
          expect(error).toBeInstanceOf(GraphError);
        }
      }
    }
  });
});

type ModelInit = Exclude<MessageInitShape<typeof ModelProtoSchema>, { $typeName: string }>;
type TensorInits = NonNullable<NonNullable<ModelInit['graph']>['initializer']>;

/** x → Identity → y, with these tensors. */
function messageOf(initializer: TensorInits): Uint8Array {
  const value = (name: string) => ({
    name,
    type: { value: { case: 'tensorType' as const, value: { elemType: Type.FLOAT, shape: { dim: [] } } } },
  });
  const graph = {
    name: 'by hand',
    input: [value('x')],
    output: [value('y')],
    node: [{ opType: 'Identity', name: 'copy', input: ['x'], output: ['y'] }],
    initializer,
  };
  const opsetImport = [{ domain: '', version: 18n }];
  return toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 8n, opsetImport, graph }));
}
