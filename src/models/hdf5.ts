/**
 * HDF5 files, hostile until proven otherwise, through libhdf5 as WebAssembly (h5wasm): what goes wrong in there is an
 * exception here, and it can reach no memory but its own. The file is never in memory as a whole: the library reads it
 * through a file system that has this one file and opens no other, so links, external storage and virtual datasets that
 * lead out of the file lead nowhere.
 *
 * Its calls block the thread, and bytes made for it could keep it busy for ever: keras-thread.ts calls it on a thread
 * that can be ended.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { ready } from 'h5wasm';
import { elementCount } from '../tensor.js';
import { ModelFileError } from './model-file-error.js';

export interface Hdf5File {
  /** Names in a group, in no order; undefined where it is no group. */
  names(group: string): readonly string[] | undefined;
  /** An attribute that is a list of texts, of fixed or variable length; undefined where there is none of that name. */
  texts(group: string, attribute: string): readonly string[] | undefined;
  /** Sizes of a dataset of float32 numbers that lies in the file. */
  dims(dataset: string): readonly number[];
  /**
   * Walk through a dataset by its first axis, in pieces of a bounded size (one row at least). `visit` gets the rows from
   * `begin` on, row-major; the buffer is the library's and holds them only until it returns.
   */
  read(dataset: string, visit: (rows: Float32Array, begin: number) => void): void;
  close(): void;
}

/** Bytes of a dataset that are in the library's memory at a time; a chunk that it unpacks may be as large. */
const PIECE_BYTES = 2 ** 26;

/** A list of names in a file that means well is far below this, in bytes. */
const MAX_TEXT_BYTES = 2 ** 24;

/** What is used of the library's file system (Emscripten's). */
interface FileSystem {
  create(path: string): {
    usedBytes: number;
    stream_ops: object;
  };
  open(path: string, ...rest: unknown[]): unknown;
  unlink(path: string): void;
  readonly ErrnoError: new (code: number) => Error;
}

const NOT_FOUND = 44;

let opened = 0;

/** Open a file. Each function of what comes back throws ModelFileError naming the object that is wrong. */
export async function openHdf5(file: string): Promise<Hdf5File> {
  const library = await ready;
  const fail = (field: string, detail: string, cause?: unknown): ModelFileError =>
    new ModelFileError(file, field, detail, { cause });
  /** The library throws errors, numbers and traps; a negative result is a failure that it does not throw. */
  const attempt = <T>(field: string, call: () => T): T => {
    let result: T;
    try {
      result = call();
    } catch (cause) {
      if (cause instanceof ModelFileError) throw cause;
      throw fail(field, 'cannot be read', cause);
    }
    if ((typeof result === 'number' || typeof result === 'bigint') && result < 0) throw fail(field, 'cannot be read');
    return result;
  };

  const mounted = mount(file, fail, library.FS as unknown as FileSystem);
  let id: bigint;
  try {
    id = attempt('file', () => library.open(mounted.path, library.H5F_ACC_RDONLY, false, -1, -1));
  } catch (error) {
    mounted.unmount();
    throw error;
  }

  const dims = (dataset: string): readonly number[] => {
    const field = `dataset "${dataset}"`;
    const kind = kindOf(dataset);
    if (kind === library.H5G_UDLINK) throw fail(field, 'lies in another file');
    if (kind !== library.H5G_DATASET) throw fail(field, 'is missing');
    const metadata = attempt(field, () => library.get_dataset_metadata(id, dataset));
    const { type, size, shape, chunks, virtual_sources: sources } = metadata;
    if (type !== library.H5T_class_t.H5T_FLOAT.value || size !== Float32Array.BYTES_PER_ELEMENT) {
      throw fail(field, 'does not hold float32 numbers');
    }
    if (sources !== undefined) throw fail(field, 'is put together of other datasets (virtual)');
    if (!shape?.every(Number.isSafeInteger)) throw fail(field, 'has no sizes');
    if (chunks !== null && elementCount(chunks) > Math.max(elementCount(shape), PIECE_BYTES / size)) {
      throw fail(field, `has chunks of [${chunks.join(', ')}], larger than itself`);
    }
    return shape;
  };
  const kindOf = (path: string): number | undefined => {
    try {
      return library.get_type(id, path);
    } catch {
      return undefined;
    }
  };

  return {
    names(group) {
      if (kindOf(group) !== library.H5G_GROUP) return undefined;
      return attempt(`group "${group}"`, () => library.get_names(id, group, false));
    },
    texts(group, attribute) {
      const field = `attribute "${attribute}" of "${group}"`;
      if (kindOf(group) !== library.H5G_GROUP) throw fail(`group "${group}"`, 'is missing');
      if (!attempt(field, () => library.get_attribute_names(id, group)).includes(attribute)) return undefined;
      const { type, shape, size, total_size, vlen } = attempt(field, () =>
        library.get_attribute_metadata(id, group, attribute),
      );
      // h5py writes an empty list as one of numbers.
      if (total_size === 0) return [];
      if (type !== library.H5T_class_t.H5T_STRING.value || shape?.length !== 1)
        throw fail(field, 'is no list of texts');
      if (size * total_size > MAX_TEXT_BYTES) throw fail(field, `takes ${size * total_size} bytes`);
      return attempt(field, () => {
        const pointer = library._malloc(size * total_size);
        try {
          if (library.get_attribute_data(id, group, attribute, BigInt(pointer)) < 0)
            throw fail(field, 'cannot be read');
          return Array.from({ length: total_size }, (_, index) =>
            vlen
              ? textAt(library.HEAPU8, new DataView(library.HEAPU8.buffer).getUint32(pointer + index * size, true))
              : textAt(library.HEAPU8, pointer + index * size, size),
          );
        } finally {
          if (vlen) library.reclaim_vlen_memory(id, group, attribute, BigInt(pointer));
          library._free(pointer);
        }
      });
    },
    dims,
    read(dataset, visit) {
      const field = `dataset "${dataset}"`;
      const [rows = 1, ...rest] = dims(dataset);
      const width = elementCount(rest);
      const step = Math.max(1, Math.floor(PIECE_BYTES / Math.max(1, width * Float32Array.BYTES_PER_ELEMENT)));
      for (let begin = 0; begin < rows; begin += step) {
        const count = Math.min(step, rows - begin);
        const bytes = count * width * Float32Array.BYTES_PER_ELEMENT;
        attempt(field, () => {
          const pointer = library._malloc(bytes);
          if (pointer === 0) throw fail(field, `has rows of ${bytes} bytes`);
          try {
            const [counts, offsets, strides] = [
              [count, ...rest].map(BigInt),
              [begin, ...rest.map(() => 0)].map(BigInt),
              [1, ...rest.map(() => 1)].map(BigInt),
            ];
            const status = library.get_dataset_data(id, dataset, counts, offsets, strides, BigInt(pointer));
            if (status < 0) throw fail(field, 'cannot be read');
            visit(new Float32Array(library.HEAPU8.buffer, pointer, count * width), begin);
          } finally {
            library._free(pointer);
          }
        });
      }
    },
    close() {
      try {
        library.close_file(id);
      } finally {
        mounted.unmount();
      }
    },
  };
}

/** Make a file of the machine the only one that the library can open. */
function mount(file: string, fail: (field: string, detail: string, cause?: unknown) => ModelFileError, fs: FileSystem) {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (cause) {
    throw fail('file', 'cannot be read', cause);
  }
  const path = `/${(opened += 1)}.h5`;
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
    unmount(): void {
      fs.open = open;
      fs.unlink(path);
      closeSync(descriptor);
    },
  };
}

/** UTF-8 up to a zero byte or `length` bytes. */
function textAt(heap: Uint8Array, start: number, length = MAX_TEXT_BYTES): string {
  const bytes = heap.subarray(start, start + length);
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
