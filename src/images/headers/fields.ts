/**
 * Numbers at offsets in a stranger's bytes. Every offset and every length comes from the file, so each access is
 * checked: a field outside the bytes throws BrokenHeaderError, whatever number the offset is. Nothing is copied but
 * short names.
 */

/** The file contradicts its format. The message completes "The header of the … file is broken: it …". */
export class BrokenHeaderError extends Error {
  override name = 'BrokenHeaderError';
}

/** A well-formed file of a kind that no decoder here reads. The message is a sentence for the client. */
export class UnsupportedImageError extends Error {
  override name = 'UnsupportedImageError';
}

export type ByteOrder = 'big' | 'little';

export class Fields {
  readonly bytes: Uint8Array;
  readonly length: number;
  readonly #view: DataView;
  readonly #isLittle: boolean;

  constructor(bytes: Uint8Array, order: ByteOrder) {
    this.bytes = bytes;
    this.length = bytes.length;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#isLittle = order === 'little';
  }

  u8(at: number): number {
    return this.#view.getUint8(this.#checked(at, 1));
  }

  u16(at: number): number {
    return this.#view.getUint16(this.#checked(at, 2), this.#isLittle);
  }

  /** 24 bits, little-endian in every file that has them. */
  u24(at: number): number {
    this.#checked(at, 3);
    return this.bytes[at]! | (this.bytes[at + 1]! << 8) | (this.bytes[at + 2]! << 16);
  }

  u32(at: number): number {
    return this.#view.getUint32(this.#checked(at, 4), this.#isLittle);
  }

  /** Exact up to 2⁵³, far beyond any file's length; larger numbers are rounded. */
  u64(at: number): number {
    return Number(this.#view.getBigUint64(this.#checked(at, 8), this.#isLittle));
  }

  /** An array of unsigned integers of so many bytes each, by index. Checked here, as a whole. */
  integers(at: number, count: number, bytes: 1 | 2 | 4 | 8): (index: number) => number {
    this.#checked(at, count * bytes);
    const [view, isLittle] = [this.#view, this.#isLittle];
    switch (bytes) {
      case 1:
        return (index) => view.getUint8(at + index);
      case 2:
        return (index) => view.getUint16(at + 2 * index, isLittle);
      case 4:
        return (index) => view.getUint32(at + 4 * index, isLittle);
      case 8:
        return (index) => Number(view.getBigUint64(at + 8 * index, isLittle));
    }
  }

  /** Whether these characters (Latin-1) stand there; false where the bytes end before. */
  has(at: number, text: string): boolean {
    for (let i = 0; i < text.length; i++) if (this.bytes[at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  /** Four characters, as in the names of chunks and boxes. */
  name(at: number): string {
    this.#checked(at, 4);
    return String.fromCharCode(this.bytes[at]!, this.bytes[at + 1]!, this.bytes[at + 2]!, this.bytes[at + 3]!);
  }

  /** A view of the bytes from `start` to before `end`, in an order of its own. */
  part(start: number, end: number, order: ByteOrder = this.#isLittle ? 'little' : 'big'): Fields {
    if (!(start >= 0 && start <= end && end <= this.length)) throw endsTooEarly();
    return new Fields(this.bytes.subarray(start, end), order);
  }

  #checked(at: number, size: number): number {
    if (!(at >= 0 && at + size <= this.length)) throw endsTooEarly();
    return at;
  }
}

export function endsTooEarly(): BrokenHeaderError {
  return new BrokenHeaderError('ends too early');
}
