/**
 * Reads Python's pickles, hostile until proven otherwise. A pickle is a program for a stack machine, which may call
 * anything that Python can import. This machine calls nothing: it knows a few names (containers of the standard library,
 * and what PyTorch makes tensors with) and what these would make. Every other object is opaque: its name is kept, and
 * what the pickle would do with it has no effect.
 *
 * Shared objects are shared here too, so a text that refers to itself stays as small as it is. Numbers of operations and
 * objects are bounded. Sources: Lib/pickletools.py (protocols 0 to 5), torch/_utils.py, torch/serialization.py.
 */
import { safeInteger } from '../../graph/constants.js';
import type { FileCursor } from './file-cursor.js';

/** Lists and tuples are arrays. */
export type Pickled =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Pickled[]
  | ReadonlyMap<Pickled, Pickled>
  | PickledName
  | PickledStorage
  | PickledTensor
  | OpaqueObject;

/** A class or function: never imported. */
export class PickledName {
  readonly module: string;
  readonly name: string;

  constructor(module: string, name: string) {
    this.module = module;
    this.name = name;
  }

  toString(): string {
    return `${this.module}.${this.name}`;
  }
}

/** Bytes that the checkpoint has elsewhere. */
export class PickledStorage {
  /** `FloatStorage`, or `UntypedStorage`. */
  readonly type: string;
  readonly key: string;
  /** Elements; of an untyped storage, bytes. */
  readonly count: number;

  constructor(type: string, key: string, count: number) {
    this.type = type;
    this.key = key;
    this.count = count;
  }
}

/** A view of a storage. Nothing of it is checked against the storage. */
export class PickledTensor {
  readonly storage: PickledStorage;
  /** In elements, as the strides. */
  readonly offset: number;
  readonly dims: readonly number[];
  readonly strides: readonly number[];
  /** Present if the storage does not say it, e.g. `bfloat16`. */
  readonly dtype: string | undefined;

  constructor(
    storage: PickledStorage,
    view: { readonly offset: number; readonly dims: readonly number[]; readonly strides: readonly number[] },
    dtype?: string,
  ) {
    this.storage = storage;
    this.offset = view.offset;
    this.dims = view.dims;
    this.strides = view.strides;
    this.dtype = dtype;
  }
}

/** An object of any other class. */
export class OpaqueObject {
  /** The class or the function that would make it. */
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Limits far above what checkpoints of classifiers have, with the states of their optimizers. */
const MAX_OPERATIONS = 2e7;
const MAX_OBJECTS = 2e6;
/** Bytes of a whole number that is written out. */
const MAX_NUMBER_BYTES = 1024;

/**
 * Read one pickle from a cursor, which then stands behind it. `persistent` makes an object of an id. Throws
 * ModelFileError.
 */
export function readPickle(cursor: FileCursor, persistent: (id: Pickled) => Pickled): Pickled {
  return new Machine(cursor, persistent).run();
}

type List = Pickled[];
type Dictionary = Map<Pickled, Pickled>;

class Machine {
  readonly #cursor: FileCursor;
  readonly #persistent: (id: Pickled) => Pickled;
  #stack: Pickled[] = [];
  /** The stacks below the marks. */
  readonly #marks: Pickled[][] = [];
  readonly #memo = new Map<number, Pickled>();
  #objects = 0;

  constructor(cursor: FileCursor, persistent: (id: Pickled) => Pickled) {
    this.#cursor = cursor;
    this.#persistent = persistent;
  }

  run(): Pickled {
    for (let count = 0; count < MAX_OPERATIONS; count += 1) {
      const operation = this.#cursor.byte();
      if (operation === STOP) return this.#pop();
      const value = this.#step(operation);
      if (value !== undefined) this.#push(value);
    }
    throw this.#tooLarge();
  }

  /** The value that an operation pushes; undefined if it pushes none. */
  #step(operation: number): Pickled | undefined {
    const cursor = this.#cursor;
    switch (String.fromCharCode(operation)) {
      // Marks and the stack.
      case '(':
        this.#count();
        this.#marks.push(this.#stack);
        this.#stack = [];
        return undefined;
      case '0':
        if (this.#stack.length === 0) this.#popMark();
        else this.#pop();
        return undefined;
      case '1':
        this.#popMark();
        return undefined;
      case '2':
        return this.#top();

      // Constants and numbers.
      case 'N':
        return null;
      case '\x88':
        return true;
      case '\x89':
        return false;
      case 'I': {
        const line = cursor.line();
        return line === '00' ? false : line === '01' ? true : this.#whole(line);
      }
      case 'J':
        return cursor.take(4).readInt32LE();
      case 'K':
        return cursor.byte();
      case 'M':
        return cursor.take(2).readUInt16LE();
      case 'L':
        return this.#whole(cursor.line().replace(/L$/, ''));
      case '\x8a':
        return this.#longOf(cursor.byte());
      case '\x8b':
        return this.#longOf(cursor.take(4).readUInt32LE());
      case 'F':
        return Number(cursor.line());
      case 'G':
        return cursor.take(8).readDoubleBE();

      // Texts and bytes.
      case 'S':
        return cursor.line().replace(/^(['"])(.*)\1$/s, '$2');
      case 'V':
        return cursor.line();
      case 'U':
        return cursor.take(cursor.byte()).toString('latin1');
      case 'T':
        return cursor.take(cursor.take(4).readUInt32LE()).toString('latin1');
      case '\x8c':
        return cursor.take(cursor.byte()).toString('utf8');
      case 'X':
        return cursor.take(cursor.take(4).readUInt32LE()).toString('utf8');
      case '\x8d':
        return cursor.take(this.#length64()).toString('utf8');
      case 'C':
        return Uint8Array.from(cursor.take(cursor.byte()));
      case 'B':
        return Uint8Array.from(cursor.take(cursor.take(4).readUInt32LE()));
      case '\x8e':
      case '\x96':
        return Uint8Array.from(cursor.take(this.#length64()));

      // Containers.
      case ']':
        return this.#made<List>([]);
      case ')':
        return this.#made<List>([]);
      case '}':
        return this.#made<Dictionary>(new Map());
      case '\x8f':
        return this.#made(new OpaqueObject('set'));
      case 'l':
      case 't':
        return this.#made<List>(this.#popMark());
      case '\x85':
      case '\x86':
      case '\x87': {
        const items = Array.from({ length: operation - 0x84 }, () => this.#pop());
        return this.#made<List>(items.reverse());
      }
      case 'd': {
        const dictionary = this.#made<Dictionary>(new Map());
        this.#set(dictionary, this.#popMark());
        return dictionary;
      }
      case '\x91':
        this.#popMark();
        return this.#made(new OpaqueObject('frozenset'));
      case 'a':
        this.#append([this.#pop()]);
        return undefined;
      case 'e':
        this.#append(this.#popMark());
        return undefined;
      case 's': {
        const [value, key] = [this.#pop(), this.#pop()];
        this.#set(this.#top(), [key, value]);
        return undefined;
      }
      case 'u': {
        const items = this.#popMark();
        this.#set(this.#top(), items);
        return undefined;
      }
      case '\x90':
        this.#popMark();
        return undefined;

      // The memo.
      case 'p':
        this.#remember(Number(cursor.line()));
        return undefined;
      case 'q':
        this.#remember(cursor.byte());
        return undefined;
      case 'r':
        this.#remember(cursor.take(4).readUInt32LE());
        return undefined;
      case '\x94':
        this.#remember(this.#memo.size);
        return undefined;
      case 'g':
        return this.#recall(Number(cursor.line()));
      case 'h':
        return this.#recall(cursor.byte());
      case 'j':
        return this.#recall(cursor.take(4).readUInt32LE());

      // Names, and what they would make.
      case 'c': {
        const module = cursor.line();
        return this.#made(new PickledName(module, cursor.line()));
      }
      case '\x93': {
        const [name, module] = [this.#pop(), this.#pop()];
        if (typeof name !== 'string' || typeof module !== 'string') throw this.#damaged();
        return this.#made(new PickledName(module, name));
      }
      case 'P':
        return this.#persistent(cursor.line());
      case 'Q':
        return this.#persistent(this.#pop());
      case 'R': {
        const [args, callee] = [this.#pop(), this.#pop()];
        return this.#made(this.#call(callee, args));
      }
      case '\x81': {
        const [, callee] = [this.#pop(), this.#pop()];
        return this.#made(new OpaqueObject(nameOf(callee)));
      }
      case '\x92': {
        const [, , callee] = [this.#pop(), this.#pop(), this.#pop()];
        return this.#made(new OpaqueObject(nameOf(callee)));
      }
      case 'i': {
        const name = new PickledName(cursor.line(), cursor.line());
        this.#popMark();
        return this.#made(new OpaqueObject(nameOf(name)));
      }
      case 'o': {
        const [callee = null] = this.#popMark();
        return this.#made(new OpaqueObject(nameOf(callee)));
      }
      case '\x82':
        cursor.take(1);
        return this.#made(new OpaqueObject('an extension'));
      case '\x83':
        cursor.take(2);
        return this.#made(new OpaqueObject('an extension'));
      case '\x84':
        cursor.take(4);
        return this.#made(new OpaqueObject('an extension'));
      // The state of an object: attributes of an OrderedDict, or of something opaque.
      case 'b':
        this.#pop();
        this.#top();
        return undefined;

      case '\x80':
        cursor.take(1);
        return undefined;
      case '\x95':
        cursor.take(8);
        return undefined;
      default:
        throw this.#damaged();
    }
  }

  #push(value: Pickled): void {
    this.#stack.push(value);
    if (this.#stack.length > MAX_OBJECTS) throw this.#tooLarge();
  }

  #pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined) throw this.#damaged();
    return value;
  }

  #top(): Pickled {
    const value = this.#stack.at(-1);
    if (value === undefined) throw this.#damaged();
    return value;
  }

  #popMark(): Pickled[] {
    const items = this.#stack;
    const below = this.#marks.pop();
    if (below === undefined) throw this.#damaged();
    this.#stack = below;
    return items;
  }

  #append(items: readonly Pickled[]): void {
    const list = this.#top();
    if (Array.isArray(list)) for (const item of items) (list as List).push(item);
    else if (!(list instanceof OpaqueObject)) throw this.#damaged();
  }

  #set(target: Pickled, items: readonly Pickled[]): void {
    if (items.length % 2 !== 0) throw this.#damaged();
    if (target instanceof OpaqueObject) return;
    if (!(target instanceof Map)) throw this.#damaged();
    for (let i = 0; i < items.length; i += 2) (target as Dictionary).set(items[i]!, items[i + 1]!);
  }

  #remember(index: number): void {
    if (this.#memo.size >= MAX_OBJECTS && !this.#memo.has(index)) throw this.#tooLarge();
    this.#memo.set(index, this.#top());
  }

  #recall(index: number): Pickled {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#damaged();
    return value;
  }

  #made<T extends Pickled>(value: T): T {
    this.#count();
    return value;
  }

  #count(): void {
    this.#objects += 1;
    if (this.#objects > MAX_OBJECTS) throw this.#tooLarge();
  }

  #length64(): number {
    return safeInteger(this.#cursor.take(8).readBigInt64LE() & MAX_LENGTH);
  }

  #whole(text: string): number | bigint {
    if (text.length > MAX_NUMBER_BYTES || !/^[+-]?\d+$/.test(text)) throw this.#damaged();
    return shortened(BigInt(text));
  }

  /** Little-endian two's complement. */
  #longOf(length: number): number | bigint {
    if (length > MAX_NUMBER_BYTES) throw this.#damaged();
    if (length === 0) return 0;
    const digits = Buffer.from(this.#cursor.take(length)).reverse().toString('hex');
    return shortened(BigInt.asIntN(8 * length, BigInt(`0x${digits}`)));
  }

  #call(callee: Pickled, args: Pickled): Pickled {
    if (!Array.isArray(args)) throw this.#damaged();
    const given = args as readonly Pickled[];
    if (callee instanceof PickledName) {
      const made = FUNCTIONS.get(String(callee))?.(given);
      if (made !== undefined) return made;
    }
    // Python 2 makes objects by a function that takes their class.
    return new OpaqueObject(/^copy_?reg\./.test(nameOf(callee)) ? nameOf(given[0] ?? null) : nameOf(callee));
  }

  #damaged(): Error {
    return this.#cursor.fail(`is damaged: what stands before byte ${this.#cursor.position} makes no sense`);
  }

  #tooLarge(): Error {
    return this.#cursor.fail('has far more objects than the checkpoint of a classifier');
  }
}

const STOP = '.'.charCodeAt(0);
const MAX_LENGTH = 0x7fff_ffff_ffff_ffffn;

function shortened(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

function nameOf(callee: Pickled): string {
  return callee instanceof PickledName ? String(callee) : callee instanceof OpaqueObject ? callee.name : 'unknown';
}

/** What a call makes; undefined if the arguments are not those of a checkpoint: then the result is opaque. */
type Call = (args: readonly Pickled[]) => Pickled | undefined;

/** The data itself, without what training needs. */
const parameter: Call = ([data]) => (data instanceof PickledTensor ? data : undefined);

const FUNCTIONS: ReadonlyMap<string, Call> = new Map<string, Call>([
  ['collections.OrderedDict', ([pairs]) => dictionaryOf(pairs)],
  ['collections.defaultdict', ([, pairs]) => dictionaryOf(pairs)],
  ['torch.Size', ([sizes]) => sizes],
  ['torch._utils._rebuild_tensor', ([storage, ...view]) => tensorOf(storage, view)],
  ['torch._utils._rebuild_tensor_v2', ([storage, ...view]) => tensorOf(storage, view)],
  [
    'torch._utils._rebuild_tensor_v3',
    ([storage, offset, size, stride, , , dtype]) =>
      dtype instanceof PickledName ? tensorOf(storage, [offset, size, stride], dtype.name) : undefined,
  ],
  ['torch._utils._rebuild_parameter', parameter],
  ['torch._utils._rebuild_parameter_with_state', parameter],
  [
    // A tensor with attributes of its own: the function that makes it, its class, the arguments.
    'torch._tensor._rebuild_from_type_v2',
    ([callee, type, args]) => {
      const isPlain =
        type instanceof PickledName && /^torch\.(Tensor|nn\.parameter\.(Parameter|Buffer))$/.test(String(type));
      const isTensor =
        callee instanceof PickledName && /^torch\._utils\._rebuild_(tensor|parameter)/.test(String(callee));
      return isPlain && isTensor && Array.isArray(args) ? FUNCTIONS.get(String(callee))?.(args) : undefined;
    },
  ],
]);

function dictionaryOf(pairs: Pickled | undefined): Pickled | undefined {
  const made: Dictionary = new Map();
  if (pairs === undefined) return made;
  if (!Array.isArray(pairs)) return undefined;
  for (const pair of pairs as readonly Pickled[]) {
    const [key, value] = Array.isArray(pair) ? (pair as readonly Pickled[]) : [];
    if (key === undefined || value === undefined) return undefined;
    made.set(key, value);
  }
  return made;
}

function tensorOf(
  storage: Pickled | undefined,
  [offset, dims, strides]: readonly (Pickled | undefined)[],
  dtype?: string,
): PickledTensor | undefined {
  if (!(storage instanceof PickledStorage) || !isSize(offset) || !isSizes(dims) || !isSizes(strides)) return undefined;
  if (dims.length !== strides.length) return undefined;
  return new PickledTensor(storage, { offset, dims, strides }, dtype);
}

function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isSizes(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);
}

/** torch itself allows no more axes. */
const MAX_RANK = 64;
