/**
 * A message as bytes and back. The values of large typed arrays are taken out: they are the *parts* of the message, which
 * stay where they are, and are written behind everything else. The rest, the *header*, is a structured clone (V8's format) and
 * small. So what costs time with the length of a message is only the copying of parts, which can be done piece by piece.
 *
 * The decoder does not trust the bytes: it throws where they are not a message, and allocates no more than it was told that
 * parts may have.
 */
import { Deserializer, Serializer } from 'node:v8';

/** The most bytes of a header: a batch of 1,024 items with six small tensors each, or 10,000 regions. */
export const MAX_HEADER_BYTES = 4 * 2 ** 20;

/** Up to this many bytes, values stay in the header. */
const MAX_INLINE_BYTES = 256;

interface ViewConstructor {
  readonly name: string;
  readonly BYTES_PER_ELEMENT?: number;
  new (buffer: ArrayBuffer): ArrayBufferView;
}

/** Kinds of views, by the number that stands for them in a header. A Buffer arrives as Uint8Array. */
const VIEWS: readonly ViewConstructor[] = [
  Uint8Array,
  Int32Array,
  Float32Array,
  BigInt64Array,
  Int8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Uint32Array,
  Float64Array,
  BigUint64Array,
  DataView,
];
const KINDS = new Map<string, number>(VIEWS.map(({ name }, kind) => [name, kind]));

export interface EncodedMessage {
  readonly header: Uint8Array;
  /** The values of the large arrays, in the memory that they have in the message. None is empty. */
  readonly parts: readonly Uint8Array[];
  /** Of all parts together. */
  readonly partBytes: number;
}

export interface DecodedMessage {
  readonly message: unknown;
  /** The memory of the message's large arrays, of unknown content, in the order in which their values follow. */
  readonly parts: readonly Uint8Array[];
}

/**
 * Encode plain data. An object that is in it twice is one object in what is decoded; a view travels without what else
 * is in its buffer. Throws if something cannot be cloned, or the header is longer than MAX_HEADER_BYTES.
 */
export function encodeMessage(message: unknown): EncodedMessage {
  const encoder = new Encoder();
  encoder.writeHeader();
  encoder.writeValue(message);
  const header = encoder.releaseBuffer();
  if (header.length > MAX_HEADER_BYTES) {
    throw new RangeError(
      `a message has ${header.length} bytes beside its large arrays; the limit is ${MAX_HEADER_BYTES}`,
    );
  }
  const { parts } = encoder;
  return { header, parts, partBytes: parts.reduce((sum, { length }) => sum + length, 0) };
}

/** Decode a header whose parts have `partBytes` bytes together. Throws if it is not the header of such a message. */
export function decodeHeader(header: Uint8Array, partBytes: number): DecodedMessage {
  const decoder = new Decoder(header, partBytes);
  decoder.readHeader();
  const message: unknown = decoder.readValue();
  if (decoder.expectedBytes !== 0) throw new Error(`${decoder.expectedBytes} bytes belong to no array`);
  return { message, parts: decoder.parts };
}

/** The methods of V8's own delegates that Node documents by their names only. */
interface Delegate {
  _setTreatArrayBufferViewsAsHostObjects(treat: boolean): void;
}

class Encoder extends Serializer {
  readonly parts: Uint8Array[] = [];

  constructor() {
    super();
    (this as unknown as Delegate)._setTreatArrayBufferViewsAsHostObjects(true);
  }

  _writeHostObject(object: object): void {
    if (!ArrayBuffer.isView(object)) throw new TypeError(`${Object.prototype.toString.call(object)} cannot be sent`);
    const { buffer, byteOffset, byteLength } = object;
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    this.writeUint32(kindOf(object));
    this.writeUint32(byteLength);
    if (byteLength <= MAX_INLINE_BYTES) this.writeRawBytes(bytes);
    else this.parts.push(bytes);
  }
}

/** By the name that its realm's own prototype gives it, whatever class it is of. */
function kindOf(view: ArrayBufferView & { readonly [Symbol.toStringTag]?: string }): number {
  const kind = KINDS.get(view[Symbol.toStringTag] ?? '');
  if (kind === undefined) throw new TypeError(`a view of the kind ${view[Symbol.toStringTag]} cannot be sent`);
  return kind;
}

class Decoder extends Deserializer {
  readonly parts: Uint8Array[] = [];
  /** Of the parts for which there is no array yet. */
  expectedBytes: number;

  constructor(header: Uint8Array, partBytes: number) {
    super(header);
    this.expectedBytes = partBytes;
  }

  _readHostObject(): ArrayBufferView {
    const View = VIEWS[this.readUint32()];
    const byteLength = this.readUint32();
    if (View === undefined) throw new Error('an array is of no known kind');
    if (byteLength % (View.BYTES_PER_ELEMENT ?? 1) !== 0) throw new Error(`a ${View.name} has ${byteLength} bytes`);
    return new View(byteLength <= MAX_INLINE_BYTES ? this.#inline(byteLength) : this.#part(byteLength));
  }

  #inline(byteLength: number): ArrayBuffer {
    return Uint8Array.from(this.readRawBytes(byteLength)).buffer;
  }

  #part(byteLength: number): ArrayBuffer {
    if (byteLength > this.expectedBytes)
      throw new Error(`an array has ${byteLength} bytes, but ${this.expectedBytes} follow`);
    this.expectedBytes -= byteLength;
    // Not filled with zeros: it is delivered after its last byte has come.
    const buffer = Buffer.allocUnsafeSlow(byteLength).buffer;
    this.parts.push(new Uint8Array(buffer));
    return buffer;
  }
}
