/**
 * The outline of an ONNX file: a model of the same graph, in which large tensors are external data at their place in the
 * file. A file of gigabytes has an outline of kilobytes, so the file is never whole in memory, and a hostile one is
 * refused before a message is decoded: the outline's messages, fields and numbers are counted while they are copied.
 *
 * Only fields that decode.ts reads are copied. Of subgraphs, functions and sparse tensors, which it refuses, the outline
 * has empty ones. Floats that a file spells out number by number are packed on the wire exactly as raw data is, so they
 * stay in the file, too. Source: onnx.proto; Protocol Buffers, "Encoding".
 */
import { GraphError } from '../graph-error.js';
import { TensorProto_DataLocation, TensorProto_DataType as Type } from './proto/onnx_pb.js';

/** A file's bytes. */
export interface ByteSource {
  readonly size: number;
  /** `length` bytes from `position` on; both lie inside the file. */
  read(position: number, length: number): Promise<Uint8Array>;
}

/** Larger tensors stay in their file. */
const INLINE_BYTES = 1024;

/**
 * Limits for one file, several times as high as in any known classifier. A message takes some hundreds of bytes once it is
 * decoded, a long integer some tens, another number eight.
 */
const LIMITS = { fields: 2 ** 20, messages: 2 ** 18, nodes: 2 ** 14, longs: 2 ** 20, numbers: 2 ** 22 };
type Counted = keyof typeof LIMITS;

/** Limit in bytes for a name or another text. */
const MAX_TEXT = 4096;

/** Limit for all texts and small tensors. */
const MAX_BYTES = 2 ** 27;

/** Bytes that are read from the file at a time. */
const PIECE_BYTES = 2 ** 18;

/** Tag and length of a field, or tag and value, at their longest. */
const HEAD_BYTES = 20;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/**
 * What becomes of a field: `number` and `text` are copied, and so are lists of integers (`longs`, `numbers`) and of `floats`;
 * `data` is that of a tensor; `empty`: it is there, but has nothing in it; a message is copied by its own table. Other
 * fields are left out.
 */
type Field = 'number' | 'text' | 'longs' | 'numbers' | 'floats' | 'data' | 'empty' | Message;
type Message = ReadonlyMap<number, Field>;

const message = (fields: Readonly<Record<number, Field>>): Message =>
  new Map(Object.entries(fields).map(([number, field]) => [Number(number), field]));

const RAW_DATA = 9;
const FLOAT_DATA = 4;
const DOUBLE_DATA = 10;
const EXTERNAL_DATA = 13;
const DATA_LOCATION = 14;
const DATA_TYPE = 2;

const ENTRY = message({ 1: 'text', 2: 'text' });
const TENSOR = message({
  1: 'longs',
  [DATA_TYPE]: 'number',
  3: 'empty',
  [FLOAT_DATA]: 'data',
  5: 'numbers',
  7: 'longs',
  8: 'text',
  [RAW_DATA]: 'data',
  [DOUBLE_DATA]: 'data',
  [EXTERNAL_DATA]: ENTRY,
  [DATA_LOCATION]: 'number',
});
const ATTRIBUTE = message({
  1: 'text',
  2: 'number',
  3: 'number',
  4: 'text',
  5: TENSOR,
  7: 'floats',
  8: 'longs',
  9: 'text',
  20: 'number',
  21: 'text',
});
const NODE = message({ 1: 'text', 2: 'text', 3: 'text', 4: 'text', 5: ATTRIBUTE, 7: 'text' });
const DIMENSION = message({ 1: 'number', 2: 'text' });
const TENSOR_TYPE = message({ 1: 'number', 2: message({ 1: DIMENSION }) });
const VALUE = message({ 1: 'text', 2: message({ 1: TENSOR_TYPE }) });
const GRAPH = message({ 1: NODE, 2: 'text', 5: TENSOR, 11: VALUE, 12: VALUE, 15: 'empty' });
const OPERATOR_SET = message({ 1: 'text', 2: 'number' });
const MODEL = message({ 1: 'number', 7: GRAPH, 8: OPERATOR_SET, 25: 'empty' });

/**
 * The outline of the ONNX file `file`, as bytes. Throws GraphError if the bytes are no protocol buffer, or more than the
 * limits allow.
 */
export async function readOutline(source: ByteSource, file: string): Promise<Uint8Array> {
  const outline = new Outline(source, file);
  await outline.copy(MODEL, source.size);
  return outline.bytes;
}

/** Where the values of a large tensor are. */
interface Place {
  readonly field: number;
  readonly offset: number;
  readonly length: number;
}

class Outline {
  readonly #source: ByteSource;
  readonly #file: string;
  readonly #counts: Record<Counted, number> = { fields: 0, messages: 0, nodes: 0, longs: 0, numbers: 0 };
  /** A piece of the file, its place in the file, and how far it has been read. */
  #piece: Uint8Array = new Uint8Array();
  #pieceAt = 0;
  #next = 0;
  #written = new Uint8Array(2 ** 16);
  #length = 0;

  constructor(source: ByteSource, file: string) {
    this.#source = source;
    this.#file = file;
  }

  get bytes(): Uint8Array {
    return this.#written.subarray(0, this.#length);
  }

  get #position(): number {
    return this.#pieceAt + this.#next;
  }

  /** Copy the fields of a message that ends at byte `end` of the file. */
  async copy(fields: Message, end: number): Promise<void> {
    this.#count('messages', 1);
    if (fields === NODE) this.#count('nodes', 1);
    const tensor = fields === TENSOR ? { type: 0, places: [] as Place[] } : undefined;
    while (this.#position < end) {
      if (this.#piece.length - this.#next < HEAD_BYTES) await this.#load(HEAD_BYTES);
      this.#count('fields', 1);
      const tag = this.#readVarint();
      const [number, wire] = [Math.floor(tag / 8), tag % 8];
      const field = fields.get(number);
      if (wire === BYTES) {
        const length = this.#readVarint();
        if (length > end - this.#position) throw notOnnx('a field is longer than its message');
        if (field === 'data') await this.#copyData({ field: number, offset: this.#position, length }, tensor!.places);
        else await this.#copyBytes(number, field, length);
        continue;
      }
      const at = this.#next;
      this.#skipNumber(wire);
      if (this.#position > end) throw notOnnx('a field is longer than its message');
      if (field === undefined || typeof field === 'object' || field === 'empty') continue;
      if (field === 'text') throw notOnnx(`field ${number} is not a text`);
      if (field !== 'number') this.#count(field === 'longs' ? 'longs' : 'numbers', 1);
      this.#writeVarint(tag);
      this.#write(this.#piece.subarray(at, this.#next));
      if (tensor !== undefined && number === DATA_TYPE && wire === VARINT) tensor.type = this.#piece[at]!;
    }
    if (tensor !== undefined) this.#refer(tensor.type, tensor.places);
  }

  /** Copy a field that has a length; its tag and length have been read. */
  async #copyBytes(number: number, field: Field | undefined, length: number): Promise<void> {
    if (field === undefined || field === 'data') {
      this.#skip(length);
      return;
    }
    if (field === 'number') throw notOnnx(`field ${number} is not a number`);
    this.#writeVarint(number * 8 + BYTES);
    if (field === 'empty') {
      this.#skip(length);
      this.#writeVarint(0);
    } else if (field === 'text') {
      if (length > MAX_TEXT) throw new GraphError(`a text of ${length} bytes; at most ${MAX_TEXT} are allowed`);
      this.#writeVarint(length);
      if (this.#piece.length - this.#next < length) await this.#load(length);
      this.#write(this.#take(length));
    } else if (field === 'longs' || field === 'numbers') {
      this.#writeVarint(length);
      await this.#copyPacked(length, (bytes) => this.#count(field, integersIn(bytes)));
    } else if (field === 'floats') {
      this.#writeVarint(length);
      await this.#copyPacked(length, (bytes) => this.#count('numbers', bytes.length / 4));
    } else {
      await this.#copyMessage(field, length);
    }
  }

  async #copyMessage(fields: Message, length: number): Promise<void> {
    const lengthAt = this.#length;
    this.#write(PADDED_ZERO);
    await this.copy(fields, this.#position + length);
    let rest = this.#length - lengthAt - PADDED_ZERO.length;
    for (let index = 0; index < PADDED_ZERO.length; index += 1, rest = Math.floor(rest / 128)) {
      this.#written[lengthAt + index]! |= rest % 128;
    }
  }

  /** Copy the data of a small tensor; note the place of a large one's. */
  async #copyData(place: Place, places: Place[]): Promise<void> {
    const { field, length } = place;
    if (length > INLINE_BYTES) {
      places.push(place);
      this.#skip(length);
      return;
    }
    this.#writeVarint(field * 8 + BYTES);
    this.#writeVarint(length);
    await this.#copyPacked(length, (bytes) => this.#count('numbers', field === RAW_DATA ? 0 : bytes.length / 4));
  }

  /** Write where in the file the data of a tensor is. */
  #refer(type: number, places: readonly Place[]): void {
    const [place, ...more] = places;
    if (place === undefined) return;
    if (more.length > 0) throw new GraphError('the data of a tensor is given twice');
    const { field, offset, length } = place;
    // A type whose values are elsewhere: decode.ts finds none, and says so.
    const typeOfField: number = field === FLOAT_DATA ? Type.FLOAT : Type.DOUBLE;
    if (field !== RAW_DATA && type !== typeOfField) return;
    this.#writeVarint(DATA_LOCATION * 8 + VARINT);
    this.#writeVarint(TensorProto_DataLocation.EXTERNAL);
    for (const entry of Object.entries({ location: this.#file, offset: `${offset}`, length: `${length}` })) {
      const [key, value] = entry.map((text) => new TextEncoder().encode(text)) as [Uint8Array, Uint8Array];
      const sizes = [key, value].map(({ length: size }) => 1 + varintLength(size) + size);
      this.#writeVarint(EXTERNAL_DATA * 8 + BYTES);
      this.#writeVarint(sizes[0]! + sizes[1]!);
      [key, value].forEach((bytes, index) => {
        this.#writeVarint((index + 1) * 8 + BYTES);
        this.#writeVarint(bytes.length);
        this.#write(bytes);
      });
    }
  }

  async #copyPacked(length: number, onBytes: (bytes: Uint8Array) => void): Promise<void> {
    for (let left = length; left > 0;) {
      if (this.#next === this.#piece.length) await this.#load(1);
      const bytes = this.#take(Math.min(left, this.#piece.length - this.#next));
      onBytes(bytes);
      this.#write(bytes);
      left -= bytes.length;
    }
  }

  #count(what: Counted, more: number): void {
    this.#counts[what] += more;
    if (this.#counts[what] > LIMITS[what]) {
      throw new GraphError(`the graph has more than ${LIMITS[what]} ${NAMES[what]}`);
    }
  }

  /** Make the next bytes available: `wanted` of them, or all that are left. */
  async #load(wanted: number): Promise<void> {
    const position = this.#position;
    const left = this.#source.size - position;
    const length = Math.min(left, Math.max(wanted, PIECE_BYTES));
    this.#piece = length === 0 ? new Uint8Array() : await this.#source.read(position, length);
    this.#pieceAt = position;
    this.#next = 0;
  }

  #take(length: number): Uint8Array {
    const from = this.#next;
    this.#next += length;
    return this.#piece.subarray(from, this.#next);
  }

  /** Move on, also beyond the piece. */
  #skip(length: number): void {
    this.#next += length;
    if (this.#next <= this.#piece.length) return;
    this.#pieceAt = this.#position;
    this.#piece = new Uint8Array();
    this.#next = 0;
  }

  /** A number that has at most 53 bits. */
  #readVarint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#piece[this.#next++];
      if (byte === undefined || factor > 2 ** 49) throw notOnnx('a number has no end');
      value += (byte & 127) * factor;
      if (byte < 128) break;
    }
    if (value > Number.MAX_SAFE_INTEGER) throw notOnnx('a number is too large');
    return value;
  }

  #skipNumber(wire: number): void {
    switch (wire) {
      case VARINT: {
        const start = this.#next;
        let byte = 128;
        while (byte >= 128) {
          byte = this.#piece[this.#next++] ?? 0;
          if (this.#next - start > 10) throw notOnnx('a number has no end');
        }
        return;
      }
      case FIXED64:
        this.#next += 8;
        return;
      case FIXED32:
        this.#next += 4;
        return;
      default:
        throw notOnnx(`wire type ${wire}`);
    }
  }

  #writeVarint(value: number): void {
    const bytes: number[] = [];
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
    bytes.push(rest);
    this.#write(bytes);
  }

  #write(bytes: ArrayLike<number>): void {
    const needed = this.#length + bytes.length;
    if (needed > MAX_BYTES) throw new GraphError(`names and small tensors take more than ${MAX_BYTES} bytes`);
    if (needed > this.#written.length) {
      const larger = new Uint8Array(Math.min(MAX_BYTES, Math.max(needed, 2 * this.#written.length)));
      larger.set(this.#written.subarray(0, this.#length));
      this.#written = larger;
    }
    this.#written.set(bytes, this.#length);
    this.#length = needed;
  }
}

/** For messages. */
const NAMES: Readonly<Record<Counted, string>> = {
  fields: 'fields',
  messages: 'messages',
  nodes: 'nodes',
  longs: 'long integers',
  numbers: 'numbers that are not raw data',
};

/** A varint of five bytes, which the length of a message is filled into once it is known. */
const PADDED_ZERO = Uint8Array.of(128, 128, 128, 128, 0);

function varintLength(value: number): number {
  return value < 128 ? 1 : 1 + varintLength(Math.floor(value / 128));
}

/** Integers in packed varints: the last byte of each is below 128. */
function integersIn(bytes: Uint8Array): number {
  let count = 0;
  for (const byte of bytes) if (byte < 128) count += 1;
  return count;
}

function notOnnx(why: string): GraphError {
  return new GraphError(`not an ONNX model: ${why}`);
}
