/**
 * A file that torch.save wrote, hostile until proven otherwise: the pickled object, and where the bytes of its storages
 * are. Since torch 1.6 it is a zip archive of stored entries, `…/data.pkl` and `…/data/<key>`. Before, it was a sequence
 * of pickles (magic number, version, facts of the system, the object, the keys), then each storage with its length.
 * Calls block the thread.
 *
 * Source: torch/serialization.py (_load, _legacy_load, _save, _legacy_save).
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { openModelFileSync } from '../files/file-access.js';
import { ModelFileError } from '../files/model-file-error.js';
import { openZip, ZIP_MAGIC, type ZipEntry, type ZipFile } from '../files/zip.js';
import { FileCursor } from './file-cursor.js';
import { OpaqueObject, PickledName, PickledStorage, readPickle, type Pickled } from './pickle.js';

export interface Checkpoint {
  readonly root: Pickled;
  /** Where the bytes of the storage with a key are in the file; undefined if the file does not have it. */
  readonly storages: ReadonlyMap<string, StorageRange>;
}

export interface StorageRange {
  readonly begin: number;
  readonly length: number;
}

/** What to do with a model whose code would be needed. */
export const EXPORT =
  'export the model to ONNX in Python, where its code is: ' +
  "torch.onnx.export(model.eval(), torch.zeros(1, 3, 224, 224), 'model.onnx')";

/** Bytes per element, by the name of the class of a storage. */
const STORAGE_BYTES: ReadonlyMap<string, number> = new Map([
  ...['DoubleStorage', 'LongStorage', 'ComplexFloatStorage'].map((type): [string, number] => [type, 8]),
  ...['FloatStorage', 'IntStorage'].map((type): [string, number] => [type, 4]),
  ...['HalfStorage', 'BFloat16Storage', 'ShortStorage'].map((type): [string, number] => [type, 2]),
  ...['CharStorage', 'ByteStorage', 'BoolStorage', 'UntypedStorage'].map((type): [string, number] => [type, 1]),
  ['ComplexDoubleStorage', 16],
]);

/** The first bytes of the older form: protocol 2, and the magic number as a long of ten bytes. */
const LEGACY_MAGIC = Buffer.from('80028a0a6cfc9c46f9206aa85019', 'hex');
const TAR_MAGIC = { at: 257, bytes: Buffer.from('ustar', 'latin1') };
/** A pickle of protocol 2 to 5. */
const [PROTOCOL, NEWEST_PROTOCOL] = [0x80, 5];

/** Read the pickle of a file. Throws ModelFileError saying what the file is if it is no checkpoint. */
export async function readCheckpoint(file: string): Promise<Checkpoint> {
  const descriptor = openModelFileSync(file);
  try {
    const { size } = fstatSync(descriptor);
    const start = Buffer.alloc(512);
    const bytes = start.subarray(0, readSync(descriptor, start, 0, start.length, 0));
    if (bytes.subarray(0, ZIP_MAGIC.length).equals(ZIP_MAGIC)) return await readArchive(file, descriptor);
    if (bytes.subarray(0, LEGACY_MAGIC.length).equals(LEGACY_MAGIC)) return readLegacy(file, descriptor, size);
    throw new ModelFileError(file, 'file', whatElse(bytes));
  } finally {
    closeSync(descriptor);
  }
}

function whatElse(bytes: Buffer): string {
  const { at, bytes: tar } = TAR_MAGIC;
  if (bytes.subarray(at, at + tar.length).equals(tar)) {
    return 'is a tar archive, as PyTorch wrote before version 0.1.10; read it with torch.load, and write it with torch.save';
  }
  if (bytes[0] === PROTOCOL && (bytes[1] ?? Infinity) <= NEWEST_PROTOCOL) {
    return "is a pickle, but not one of torch.save; write the weights with torch.save(model.state_dict(), 'model.pt')";
  }
  return 'is no checkpoint of PyTorch: torch.save writes a zip archive or, before version 1.6, a pickle';
}

// ---- zip archives ------------------------------------------------------------------------------------------------

async function readArchive(file: string, descriptor: number): Promise<Checkpoint> {
  const zip = await openZip(file);
  try {
    const [pickle] = [...zip.entries.values()].filter(({ name }) => /^([^/]+\/)?data\.pkl$/.test(name));
    const root = pickle?.name.slice(0, -'data.pkl'.length) ?? '';
    if (pickle === undefined || zip.entries.has(`${root}constants.pkl`)) throw notSaved(file, zip);
    await checkByteOrder(file, zip, zip.entries.get(`${root}byteorder`));
    const { begin, length } = await rangeOf(file, zip, pickle);
    const seen = new Map<string, ZipEntry>();
    const cursor = new FileCursor(file, descriptor, { begin, end: begin + length });
    const value = readPickle(cursor, (id) => {
      const storage = storageOf(id);
      if (storage === undefined) return new OpaqueObject('an object that is stored elsewhere');
      const entry = zip.entries.get(`${root}data/${storage.key}`);
      if (entry === undefined) throw new ModelFileError(file, `storage ${storage.key}`, 'is missing in the archive');
      seen.set(storage.key, entry);
      return storage;
    });
    const storages = new Map<string, StorageRange>();
    for (const [key, entry] of seen) storages.set(key, await rangeOf(file, zip, entry));
    return { root: value, storages };
  } finally {
    await zip.close();
  }
}

function notSaved(file: string, zip: ZipFile): ModelFileError {
  const names = [...zip.entries.keys()];
  const isScript = names.some((name) => /(^|\/)constants\.pkl$/.test(name));
  const detail = isScript
    ? `is a TorchScript program, which is not executed; ${EXPORT}, or save the weights alone: torch.save(model.state_dict(), 'model.pt')`
    : names.some((name) => /(^|\/)(archive_format|serialized_exported_program\.json)$/.test(name))
      ? `is a program of torch.export, which is not executed; ${EXPORT}`
      : 'is a zip archive, but not one of torch.save: it has no data.pkl';
  return new ModelFileError(file, 'file', detail);
}

async function checkByteOrder(file: string, zip: ZipFile, entry: ZipEntry | undefined): Promise<void> {
  if (entry === undefined) return;
  const order = (await zip.read(entry, 64)).toString('latin1').trim();
  if (order !== 'little') throw new ModelFileError(file, 'byteorder', 'is not little-endian');
}

async function rangeOf(file: string, zip: ZipFile, entry: ZipEntry): Promise<StorageRange> {
  if (entry.isStored) return { begin: await zip.begin(entry), length: entry.size };
  const detail =
    'is compressed, which torch.save never does; read the file with torch.load, and write it with torch.save';
  throw new ModelFileError(file, `entry "${entry.name.slice(0, 200)}"`, detail);
}

/** `('storage', class, key, location, elements)`. */
function storageOf(id: Pickled): PickledStorage | undefined {
  if (!Array.isArray(id)) return undefined;
  const [kind, type, key, , count] = id as readonly Pickled[];
  const isStorage = kind === 'storage' && type instanceof PickledName && typeof key === 'string';
  if (!isStorage || typeof count !== 'number' || count < 0) return undefined;
  return new PickledStorage(type.name, key, count);
}

// ---- the older form ----------------------------------------------------------------------------------------------

function readLegacy(file: string, descriptor: number, size: number): Checkpoint {
  const cursor = new FileCursor(file, descriptor, { begin: 0, end: size });
  const none = (): Pickled => new OpaqueObject('an object that is stored elsewhere');
  readPickle(cursor, none);
  readPickle(cursor, none);
  const system = readPickle(cursor, none);
  if (system instanceof Map && system.get('little_endian') === false) {
    throw new ModelFileError(file, 'file', 'is not little-endian');
  }
  const seen = new Map<string, PickledStorage>();
  const root = readPickle(cursor, (id) => {
    const storage = storageOf(id);
    // The sixth item describes a part of another storage, which torch stopped to write in 2017.
    if (storage === undefined || ((id as readonly Pickled[])[5] ?? null) !== null) return none();
    seen.set(storage.key, storage);
    return storage;
  });
  const keys = readPickle(cursor, none);
  if (!Array.isArray(keys)) throw cursor.fail('is damaged: the keys of its storages are missing');
  const storages = new Map<string, StorageRange>();
  let begin = cursor.position;
  for (const key of keys as readonly Pickled[]) {
    const storage = typeof key === 'string' ? seen.get(key) : undefined;
    const bytes = storage === undefined ? undefined : STORAGE_BYTES.get(storage.type);
    // Where the next one begins is not known then.
    if (storage === undefined || bytes === undefined) break;
    const count = Number(new FileCursor(file, descriptor, { begin, end: size }).take(8).readBigInt64LE());
    if (count !== storage.count)
      throw new ModelFileError(file, `storage ${storage.key}`, 'is damaged: its length is wrong');
    begin += 8;
    storages.set(storage.key, { begin, length: count * bytes });
    begin += count * bytes;
    if (begin > size) throw cursor.fail('ends too early: it was cut off, or did not arrive whole');
  }
  return { root, storages };
}
