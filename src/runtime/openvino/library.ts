/**
 * OpenVINO's C API. Hides pointers, structures and status codes: what fails throws
 * the library's own message. Handles are opaque; the caller frees them.
 *
 * Source: OpenVINO 2026.4, runtime/include/openvino/c (ov_core.h, ov_compiled_model.h, ov_infer_request.h, ov_tensor.h).
 */
import { OperatorError } from '../../errors.js';
import { elementCount, TYPED_ARRAYS, type Tensor, type TensorType } from '../../tensor.js';
import { INSTALL, type FoundLibrary } from './find-library.js';
import { loadKoffi, type Koffi, type TypeSpec } from '../../koffi.js';

/** A pointer to an object of the library. */
export type Handle = bigint & { readonly __handle: unique symbol };

/** Bytes outside of JavaScript's memory. */
export interface NativeBytes {
  readonly address: bigint;
  readonly byteLength: number;
}

/** Of a compiled model or of the device, e.g. `{ NUM_STREAMS: '1' }`. */
export type Properties = Readonly<Record<string, string>>;

export interface OpenvinoLibrary {
  /** E.g. `2026.4.1`. */
  readonly version: string;
  createCore(): Handle;
  /** A property of the CPU. */
  cpuProperty(core: Handle, name: string): string;
  /**
   * Read an ONNX model. External data in the file IN_MEMORY lies at the address that is its offset; it must stay there until
   * what is compiled of the model is freed.
   */
  readModel(core: Handle, model: Uint8Array): Handle;
  freeModel(model: Handle): void;
  /** Compile for the CPU. */
  compile(core: Handle, model: Handle, properties: Properties): Handle;
  /** Write a compiled model to a file that does not exist. */
  exportModel(compiled: Handle, path: string): void;
  /** Read a compiled model from bytes that stay where they are until it is freed. Throws if another build has written them. */
  importModel(core: Handle, bytes: NativeBytes, properties: Properties): Handle;
  freeCompiled(compiled: Handle): void;
  createRequest(compiled: Handle): Handle;
  freeRequest(request: Handle): void;
  /** Feed an input by its place. The library reads the values where they are: the caller keeps them until the run is over. */
  feed(request: Handle, index: number, tensor: Tensor): void;
  /** Run in a thread of the compiled model; one of libuv's waits for it. */
  infer(request: Handle): Promise<void>;
  /** Copy an output by its place. Throws if it is of a type that sessions do not have. */
  read(request: Handle, index: number): Tensor;
}

/** The first version that has been tried; older ones lack properties, or number the types otherwise. */
const OLDEST = [2025, 0];

/** The name of a file that is this process's memory. Source: OpenVINO 2026.4, src/frontends/onnx (tensor_external_data.cpp). */
export const IN_MEMORY = '*/_ORT_MEM_ADDR_/*';

const DEVICE = 'CPU';

/** Of ov_status_e. */
const INVALID_PARAMETER = -14;

/** ov_element_type_e. Each library is asked whether it counts so, because earlier ones did not. */
const TYPE_NUMBERS: ReadonlyMap<TensorType, number> = new Map([
  ['float32', 4],
  ['int32', 9],
  ['int64', 10],
  ['uint8', 16],
]);

/** Load the library. Throws OperatorError if koffi is not installed, or the library cannot be loaded or is too old. */
export function loadLibrary({ path, source }: FoundLibrary): OpenvinoLibrary {
  const koffi = loadKoffi();
  const fail = (why: string): OperatorError => new OperatorError(`OpenVINO (${source}, ${path}) ${why}`);
  let library: OpenvinoLibrary;
  try {
    library = bind(koffi, path);
  } catch (error) {
    throw fail(`cannot be loaded: ${(error as Error).message}`);
  }
  const [year = 0, release = 0] = library.version.split('.').map(Number);
  if (year < OLDEST[0]! || (year === OLDEST[0]! && release < OLDEST[1]!)) {
    throw fail(`is version ${library.version}; ${OLDEST.join('.')} or later is needed: ${INSTALL} --upgrade`);
  }
  return library;
}

function bind(koffi: Koffi, path: string): OpenvinoLibrary {
  const lib = koffi.load(path);
  const pointer = 'void *';
  const text = 'const char *';
  const size = 'size_t';
  const shape = koffi.struct({ rank: 'int64_t', dims: pointer });
  const version = koffi.struct({ buildNumber: text, description: text });
  const to = (type: TypeSpec): TypeSpec => koffi.out(koffi.pointer(type));

  const freeText = lib.func('ov_free', 'void', [pointer]);
  const getLastError = lib.func('ov_get_last_err_msg', pointer, []) as () => Handle | null;
  /** Texts that the library gives are the caller's to free. */
  function taken(found: Handle): string {
    try {
      return koffi.decode(found, 'char', -1) as string;
    } finally {
      freeText(found);
    }
  }
  function lastError(): string | undefined {
    const found = getLastError();
    return found === null ? undefined : taken(found).trim();
  }
  /** A function that returns a status, as one that throws. */
  function checked(name: string, ...types: TypeSpec[]): (...values: unknown[]) => void {
    const call = lib.func(name, 'int', types);
    return (...values) => {
      const status = call(...values) as number;
      if (status !== 0) throw new Error(lastError() ?? `OpenVINO's ${name} returned ${status}`);
    };
  }
  const freed = (name: string): ((handle: Handle) => void) => lib.func(name, 'void', [pointer]);

  const getVersion = checked('ov_get_openvino_version', to(version));
  const createCore = checked('ov_core_create', to(pointer));
  const getProperty = checked('ov_core_get_property', pointer, text, text, to(pointer));
  const readModel = checked('ov_core_read_model_from_memory_buffer', pointer, pointer, size, pointer, to(pointer));
  const compileModel = checked('ov_core_compile_model', pointer, pointer, text, size, to(pointer), '...');
  const exportCompiled = checked('ov_compiled_model_export_model', pointer, text);
  const importCompiled = checked('ov_core_import_model', pointer, 'intptr_t', size, text, to(pointer));
  const setProperty = checked('ov_core_set_property', pointer, text, '...');
  const createRequest = checked('ov_compiled_model_create_infer_request', pointer, to(pointer));
  const setTensor = checked('ov_infer_request_set_input_tensor_by_index', pointer, size, pointer);
  const getTensor = checked('ov_infer_request_get_output_tensor_by_index', pointer, size, to(pointer));
  const begin = checked('ov_infer_request_start_async', pointer);
  const wait = lib.func('ov_infer_request_wait', 'int', [pointer]);
  const createTensor = checked('ov_tensor_create', 'int', shape, to(pointer));
  const wrapValues = checked('ov_tensor_create_from_host_ptr', 'int', shape, pointer, to(pointer));
  const getType = checked('ov_tensor_get_element_type', pointer, to('int'));
  const getShape = lib.func('ov_tensor_get_shape', 'int', [pointer, to(shape)]) as (...values: unknown[]) => number;
  const getByteSize = checked('ov_tensor_get_byte_size', pointer, to(size));
  const getData = checked('ov_tensor_data', pointer, to(pointer));
  const freeShape = checked('ov_shape_free', koffi.pointer(shape));
  const freeTensor = freed('ov_tensor_free');

  const shapeOf = (dims: readonly number[]): object => ({ rank: dims.length, dims: BigInt64Array.from(dims, BigInt) });

  function dimsOf(tensor: Handle): number[] {
    const found: { rank?: number; dims?: Handle } = {};
    // It cannot say that there are none (ov_shape_create takes no rank of 0).
    if (getShape(tensor, found) === INVALID_PARAMETER) return [];
    try {
      const rank = Number(found.rank);
      return rank === 0 ? [] : Array.from(new BigInt64Array(koffi.view(found.dims, 8 * rank)), Number);
    } finally {
      freeShape(found);
    }
  }

  /** Throws unless the library counts its types as this file does. */
  function assertTypes(): void {
    for (const [type, number] of TYPE_NUMBERS) {
      const tensor = filled<Handle>((place) => createTensor(number, shapeOf([1]), place));
      const bytes = Number(filled<number | bigint>((place) => getByteSize(tensor, place)));
      freeTensor(tensor);
      if (bytes !== new TYPED_ARRAYS[type](1).byteLength) throw new Error(`its type ${number} is not ${type}`);
    }
  }
  assertTypes();

  const build: { buildNumber?: string } = {};
  getVersion(build);
  return {
    version: build.buildNumber?.split('-')[0] ?? '0',
    createCore: () => filled(createCore),
    cpuProperty(core, name) {
      return taken(filled<Handle>((place) => getProperty(core, DEVICE, name, place)));
    },
    readModel: (core, model) => filled((place) => readModel(core, model, model.byteLength, null, place)),
    freeModel: freed('ov_model_free'),
    compile(core, model, properties) {
      const words = Object.entries(properties).flat();
      const variadic = words.flatMap((word) => [text, word]);
      return filled((place) => compileModel(core, model, DEVICE, words.length, place, ...variadic));
    },
    exportModel: (compiled, path) => exportCompiled(compiled, path),
    importModel(core, { address, byteLength }, properties) {
      for (const [name, value] of Object.entries(properties)) setProperty(core, DEVICE, text, name, text, value);
      return filled((place) => importCompiled(core, address, byteLength, DEVICE, place));
    },
    freeCompiled: freed('ov_compiled_model_free'),
    createRequest: (compiled) => filled((place) => createRequest(compiled, place)),
    freeRequest: freed('ov_infer_request_free'),
    feed(request, index, { type, dims, data }) {
      const number = TYPE_NUMBERS.get(type);
      const tensor = filled<Handle>((place) => wrapValues(number, shapeOf(dims), data, place));
      try {
        setTensor(request, index, tensor);
      } finally {
        // The request keeps what it needs of it.
        freeTensor(tensor);
      }
    },
    infer(request) {
      begin(request);
      return new Promise((resolve, reject) => {
        wait.async(request, (error: Error | null, status: number) => {
          if (error !== null) reject(error);
          else if (status === 0) resolve();
          else reject(new Error(lastError() ?? `OpenVINO's ov_infer_request_wait returned ${status}`));
        });
      });
    },
    read(request, index) {
      const tensor = filled<Handle>((place) => getTensor(request, index, place));
      try {
        const number = filled<number>((place) => getType(tensor, place));
        const [type] = [...TYPE_NUMBERS].find(([, each]) => each === number) ?? [];
        if (type === undefined)
          throw new Error(`output ${index} is not of type ${[...TYPE_NUMBERS.keys()].join(', ')}`);
        const dims = dimsOf(tensor);
        const data = new TYPED_ARRAYS[type](elementCount(dims));
        if (data.byteLength > 0) {
          const values = filled<Handle>((place) => getData(tensor, place));
          new Uint8Array(data.buffer).set(new Uint8Array(koffi.view(values, data.byteLength)));
        }
        return { type, dims, data };
      } finally {
        freeTensor(tensor);
      }
    },
  };
}

/** What a function writes to the place that it is given. */
function filled<T>(fill: (place: [T | null]) => void): T {
  const place: [T | null] = [null];
  fill(place);
  return place[0]!;
}
