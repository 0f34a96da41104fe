/**
 * HDF5 files, hostile until proven otherwise, read by libhdf5 as WebAssembly (h5wasm). A fault in the library is an
 * exception here, and the library reaches no memory but its own. The file is never whole in memory. The library reads
 * it through a file system that holds only this file, so links, external storage and virtual datasets cannot lead out
 * of it.
 *
 * Calls block the thread, and a malicious file could block it forever: keras-applications/thread.ts calls this module
 * on a thread that can be terminated. A thread has one file open at a time.
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { ready } from 'h5wasm';
import { halfValue } from '../../graph/constants.js';
import { elementCount } from '../../tensor.js';
import { openModelFileSync } from './file-access.js';
import { refusalOf } from './file-kind.js';
import { ModelFileError } from './model-file-error.js';

/** Bytes of a dataset held in the library's memory at a time; an unpacked chunk may be as large. */
const PIECE_BYTES = 2 ** 26;

/** Limit in bytes for a list of names, far above those in honest files. */
const MAX_TEXT_BYTES = 2 ** 24;

const FLOAT_BYTES = Float32Array.BYTES_PER_ELEMENT;

/** Makes single precision of numbers of so many bytes. */
const FLOATS: ReadonlyMap<number, (bytes: ArrayBuffer, begin: number, count: number) => Float32Array> = new Map([
  [2, (bytes, begin, count) => Float32Array.from(new Uint16Array(bytes, begin, count), halfValue)],
  [4, (bytes, begin, count) => new Float32Array(bytes, begin, count)],
  [8, (bytes, begin, count) => Float32Array.from(new Float64Array(bytes, begin, count))],
]);

type Library = Awaited<typeof ready>;

/** Open a file. Throws ModelFileError. */
export async function openHdf5(file: string): Promise<Hdf5File> {
  const library = await ready;
  try {
    return new Hdf5File(library, file);
  } catch (cause) {
    throw await refusalOf(file, 'hdf5', { cause });
  }
}

/** An open file. Its functions throw ModelFileError naming the faulty object. */
export class Hdf5File {
  readonly #library: Library;
  readonly #file: string;
  readonly #unmount: () => void;
  readonly #size: number;
  readonly #id: bigint;

  constructor(library: Library, file: string) {
    this.#library = library;
    this.#file = file;
    let mounted: Mounted;
    try {
      mounted = mount(file, library.FS as unknown as FileSystem);
    } catch (cause) {
      throw cause instanceof ModelFileError ? cause : this.#error('file', 'cannot be read', cause);
    }
    this.#unmount = mounted.unmount;
    this.#size = mounted.size;
    try {
      this.#id = this.#attempt('file', () => library.open(mounted.path, library.H5F_ACC_RDONLY, false, -1, -1));
    } catch (error) {
      mounted.unmount();
      throw error;
    }
  }

  /** Bytes of the file. */
  get size(): number {
    return this.#size;
  }

  /** Names in a group, in no order; undefined if it is not a group. */
  names(group: string): readonly string[] | undefined {
    if (this.#kindOf(group) !== this.#library.H5G_GROUP) return undefined;
    return this.#attempt(`group "${group}"`, () => this.#library.get_names(this.#id, group, false));
  }

  /** An attribute that is a list of strings, of fixed or variable length; undefined if there is none of that name. */
  texts(group: string, attribute: string): readonly string[] | undefined {
    return this.#texts(group, attribute, 1);
  }

  /** An attribute that is one string; undefined if there is none of that name. */
  text(group: string, attribute: string): string | undefined {
    return this.#texts(group, attribute, 0)?.[0];
  }

  #texts(group: string, attribute: string, rank: 0 | 1): readonly string[] | undefined {
    const library = this.#library;
    const field = `attribute "${attribute}" of "${group}"`;
    const there = this.#attempt(field, () => library.get_attribute_names(this.#id, group));
    if (!there.includes(attribute)) return undefined;
    const metadata = this.#attempt(field, () => library.get_attribute_metadata(this.#id, group, attribute));
    const { type, shape, size, total_size: count, vlen } = metadata;
    // h5py writes an empty list as a list of numbers.
    if (count === 0) return [];
    const isText = type === library.H5T_class_t.H5T_STRING.value && shape?.length === rank;
    if (!isText) throw this.#error(field, rank === 0 ? 'is not a string' : 'is not a list of strings');
    return this.#withMemory(field, size * count, MAX_TEXT_BYTES, (pointer) => {
      this.#attempt(field, () => library.get_attribute_data(this.#id, group, attribute, BigInt(pointer)));
      const heap = library.HEAPU8;
      const pointers = new DataView(heap.buffer, pointer, size * count);
      const texts = Array.from({ length: count }, (_, index) =>
        vlen ? textAt(heap, pointers.getUint32(index * size, true)) : textAt(heap, pointer + index * size, size),
      );
      if (vlen) library.reclaim_vlen_memory(this.#id, group, attribute, BigInt(pointer));
      return texts;
    });
  }

  /** Sizes of a dataset of floating-point numbers. Throws if it is missing, virtual or in another file. */
  dims(dataset: string): readonly number[] {
    return this.#floats(dataset).dims;
  }

  #floats(dataset: string): { readonly dims: readonly number[]; readonly width: number } {
    const library = this.#library;
    const field = `dataset "${dataset}"`;
    const kind = this.#kindOf(dataset);
    if (kind === library.H5G_UDLINK) throw this.#error(field, 'lies in another file');
    if (kind !== library.H5G_DATASET) throw this.#error(field, 'is missing');
    const metadata = this.#attempt(field, () => library.get_dataset_metadata(this.#id, dataset));
    const { type, size, shape, chunks, littleEndian, virtual_sources: sources } = metadata;
    const isFloat = type === library.H5T_class_t.H5T_FLOAT.value && littleEndian && FLOATS.has(size);
    if (!isFloat) throw this.#error(field, 'does not hold floating-point numbers of 2, 4 or 8 bytes, little-endian');
    if (sources !== undefined) throw this.#error(field, 'is virtual: it is made of other datasets');
    if (!shape?.every(Number.isSafeInteger)) throw this.#error(field, 'has no valid shape');
    if (chunks !== null && elementCount(chunks) > Math.max(elementCount(shape), PIECE_BYTES / FLOAT_BYTES)) {
      throw this.#error(field, `has chunks of [${chunks.join(', ')}], larger than itself`);
    }
    return { dims: shape, width: size };
  }

  /**
   * Walk through a dataset along its first axis, in pieces of up to 64 MiB, or of one row if a row is larger. `visit`
   * gets the rows from `begin` on, row-major, in single precision; their buffer may belong to the library and is valid
   * only until `visit` returns.
   */
  read(dataset: string, visit: (rows: Float32Array, begin: number) => void): void {
    const library = this.#library;
    const field = `dataset "${dataset}"`;
    const { dims, width: bytes } = this.#floats(dataset);
    const [rows = 1, ...rest] = dims;
    const width = elementCount(rest);
    const step = Math.max(1, Math.floor(PIECE_BYTES / (width * bytes)));
    const floatsIn = FLOATS.get(bytes)!;
    const strides = dims.map(() => 1n);
    const isScalar = dims.length === 0;
    for (let begin = 0; begin < rows; begin += step) {
      const count = Math.min(step, rows - begin);
      const counts = [count, ...rest].map(BigInt);
      const offsets = dims.map((_, axis) => BigInt(axis === 0 ? begin : 0));
      const where: readonly [bigint[] | null, bigint[] | null, bigint[] | null] = isScalar
        ? [null, null, null]
        : [counts, offsets, strides];
      this.#withMemory(field, count * width * bytes, library.MAXIMUM_MEMORY, (pointer) => {
        this.#attempt(field, () => library.get_dataset_data(this.#id, dataset, ...where, BigInt(pointer)));
        visit(floatsIn(library.HEAPU8.buffer as ArrayBuffer, pointer, count * width), begin);
      });
    }
  }

  close(): void {
    try {
      this.#library.close_file(this.#id);
    } catch {
      // The fault that broke the library has been reported by the call that met it.
    } finally {
      this.#unmount();
    }
  }

  #error(field: string, detail: string, cause?: unknown): ModelFileError {
    return new ModelFileError(this.#file, field, detail, { cause });
  }

  /** Turns failures into ModelFileError: the library throws errors, numbers and traps, or returns a negative number. */
  #attempt<T>(field: string, call: () => T): T {
    let result: T;
    try {
      result = call();
    } catch (cause) {
      throw this.#error(field, 'cannot be read', cause);
    }
    if ((typeof result === 'number' || typeof result === 'bigint') && result < 0) {
      throw this.#error(field, 'cannot be read');
    }
    return result;
  }

  /** Kind of object at a path; undefined if the library cannot tell. */
  #kindOf(path: string): number | undefined {
    try {
      return this.#library.get_type(this.#id, path);
    } catch {
      return undefined;
    }
  }

  /** Allocate memory of the library for the time of `use`. */
  #withMemory<T>(field: string, bytes: number, limit: number, use: (pointer: number) => T): T {
    const pointer = bytes <= limit ? this.#attempt(field, () => this.#library._malloc(bytes)) : 0;
    if (pointer === 0) throw this.#error(field, `needs ${bytes} bytes, more than can be allocated`);
    try {
      return use(pointer);
    } finally {
      this.#library._free(pointer);
    }
  }
}

/** The used part of the library's file system (Emscripten's). */
interface FileSystem {
  create(path: string): { usedBytes: number; stream_ops: object };
  open(path: string, ...rest: unknown[]): unknown;
  unlink(path: string): void;
  readonly ErrnoError: new (code: number) => Error;
}

/** ENOENT in WASI's numbering. */
const NOT_FOUND = 44;

interface Mounted {
  /** The file's path inside the library's file system. */
  readonly path: string;
  readonly size: number;
  readonly unmount: () => void;
}

/** Make a file on disk the only one that the library can open. Throws ModelFileError, or Error if it cannot be read. */
function mount(file: string, fs: FileSystem): Mounted {
  const descriptor = openModelFileSync(file);
  const path = '/weights.h5';
  const node = fs.create(path);
  node.usedBytes = fstatSync(descriptor).size;
  const read = (_: unknown, target: Int8Array, offset: number, length: number, position: number): number =>
    readSync(descriptor, target, offset, length, position);
  node.stream_ops = { ...node.stream_ops, read, write: undefined, mmap: undefined };
  const open = fs.open.bind(fs);
  fs.open = (wanted, ...rest) => {
    if (wanted !== path) throw new fs.ErrnoError(NOT_FOUND);
    return open(wanted, ...rest);
  };
  return {
    path,
    size: node.usedBytes,
    unmount() {
      fs.open = open;
      fs.unlink(path);
      closeSync(descriptor);
    },
  };
}

/** Decodes UTF-8 up to a zero byte or `length` bytes. */
function textAt(heap: Uint8Array, start: number, length = MAX_TEXT_BYTES): string {
  const bytes = heap.subarray(start, start + length);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
