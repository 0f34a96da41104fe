/**
 * The body of an inference request: JSON, or JSON and behind it the bytes of tensors, whose number the JSON says (the
 * binary-data extension). Every byte belongs to something, or the request is refused before anything runs.
 *
 * Source: Open Inference Protocol, "Inference"; Triton, "Binary Tensor Data Extension".
 */
import { z } from 'zod';
import { inTurns } from '../../turns.js';
import { isDatatype, type Datatype } from './datatypes.js';
import { faultAt } from './faults.js';
import { cutData } from './json-data.js';

/** What the binary-data extension calls the header that says where the JSON ends. */
export const HEADER_LENGTH = 'inference-header-content-length';

/** `binary`: as the datatype lies in memory, little endian; `json`: the text of a list. */
export type TensorData = { readonly binary: Buffer } | { readonly json: Buffer };

export interface InputTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  readonly parameters: Parameters;
  readonly data: TensorData;
  /** Where it stands, e.g. `inputs[0]`. */
  readonly place: string;
}

export interface AskedOutput {
  readonly name: string;
  /** Its values follow the JSON; absent: as the request says for all. */
  readonly binary: boolean | undefined;
  /** The k best classes as texts, in the place of its values. */
  readonly classification: number | undefined;
}

export interface InferRequest {
  readonly id: string | undefined;
  readonly parameters: Parameters;
  readonly inputs: readonly InputTensor[];
  /** Absent: all. */
  readonly outputs: readonly AskedOutput[] | undefined;
  /** Of the outputs that do not say. */
  readonly binaryOutput: boolean;
}

export type Parameters = Readonly<Record<string, string | number | boolean>>;

const MAX_TENSORS = 64;

const parameters = z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).default({});
const name = z.string().max(1000);
const dimension = z.int('must be a whole number').min(0, 'must not be negative');

const inferSchema = z.object({
  id: z.string().max(1000).optional(),
  parameters,
  inputs: z
    .array(
      z.object({
        name,
        datatype: z.string().refine(isDatatype, 'must be a datatype of the protocol, e.g. UINT8 or BYTES'),
        shape: z.array(dimension).max(16),
        parameters,
        data: z.unknown().optional(),
      }),
    )
    .min(1, 'must have an input')
    .max(MAX_TENSORS),
  outputs: z.array(z.object({ name, parameters })).max(MAX_TENSORS).optional(),
});

/** Where the JSON of a body ends; undefined where it is all of it. Throws INVALID_REQUEST. */
export function headerLength(header: string | string[] | undefined, bodyLength: number): number | undefined {
  if (header === undefined) return undefined;
  const length = typeof header === 'string' && /^\d{1,10}$/.test(header) ? Number(header) : NaN;
  if (length <= bodyLength) return length;
  throw faultAt(
    'Inference-Header-Content-Length',
    `must be a whole number of at most ${bodyLength}, the bytes of the body`,
  );
}

/**
 * Read a body whose JSON has `jsonLength` bytes, or is all of it. The tensors lie in it. Throws INVALID_REQUEST with the place of
 * what is wrong.
 */
export async function readInferBody(body: Buffer, jsonLength: number | undefined): Promise<InferRequest> {
  const { value, data } = await inTurns(cutData(body.subarray(0, jsonLength ?? body.length)));
  const { id, parameters, inputs, outputs } = checked(value);
  const binary = createBinary(body.subarray(jsonLength ?? body.length), jsonLength !== undefined);
  const tensors = inputs.map((input, position): InputTensor => {
    const place = `inputs[${position}]`;
    if (inputs.findIndex((other) => other.name === input.name) < position) throw faultAt(place, 'is there twice');
    refuseSharedMemory(input.parameters, place);
    const json = data.get(position);
    const size = sizeOf(input.parameters, place);
    if (json === undefined && input.data !== undefined) throw faultAt(`${place}.data`, 'must be a list');
    if (json !== undefined && size !== undefined) throw faultAt(place, 'has data and binary_data_size');
    return {
      ...input,
      place,
      data: json === undefined ? { binary: binary.take(size, inputs.length, place) } : { json },
    };
  });
  binary.end();
  const asked = outputs?.map((output, position) => outputOf(output, `outputs[${position}]`, outputs));
  const binaryOutput = flagOf(parameters, 'binary_data_output', 'parameters') ?? false;
  return { id, parameters, inputs: tensors, outputs: asked, binaryOutput };
}

type Written = z.output<typeof inferSchema>;

function checked(value: unknown): Written & { readonly inputs: readonly { readonly datatype: Datatype }[] } {
  const { data, error } = inferSchema.safeParse(value);
  if (data !== undefined) return data;
  const [issue] = error.issues;
  const place = issue!.path.reduce<string>(
    (before, part) =>
      typeof part === 'number' ? `${before}[${part}]` : before === '' ? String(part) : `${before}.${String(part)}`,
    '',
  );
  throw faultAt(place === '' ? 'the body' : place, place === '' ? 'must be a JSON object' : issue!.message);
}

interface Binary {
  /** The bytes of the next input, `size` of them, or all where an only input does not say. */
  take(size: number | undefined, inputs: number, place: string): Buffer;
  /** Nothing may be left. */
  end(): void;
}

function createBinary(bytes: Buffer, isAnnounced: boolean): Binary {
  let at = 0;
  return {
    take(size, inputs, place) {
      const left = bytes.length - at;
      if (!isAnnounced && size !== undefined && size > 0) {
        throw faultAt(place, 'has binary_data_size, and the request has no Inference-Header-Content-Length');
      }
      if (size === undefined && (!isAnnounced || inputs > 1 || left === 0)) {
        throw faultAt(place, 'has neither data nor binary_data_size');
      }
      const taken = size ?? left;
      if (taken > left) throw faultAt(place, `lacks ${taken - left} bytes of its ${taken}`);
      at += taken;
      return bytes.subarray(at - taken, at);
    },
    end() {
      if (at < bytes.length) throw faultAt('the body', `has ${bytes.length - at} bytes behind those of its inputs`);
    },
  };
}

function sizeOf({ binary_data_size: size }: Parameters, place: string): number | undefined {
  if (size === undefined || (Number.isSafeInteger(size) && (size as number) >= 0)) return size as number | undefined;
  throw faultAt(`${place}.parameters.binary_data_size`, 'must be a whole number that is not negative');
}

function outputOf(
  { name, parameters }: { readonly name: string; readonly parameters: Parameters },
  place: string,
  all: readonly { readonly name: string }[],
): AskedOutput {
  if (all.filter((other) => other.name === name).length > 1) throw faultAt(place, 'is there twice');
  refuseSharedMemory(parameters, place);
  const { classification } = parameters;
  if (classification !== undefined && !(Number.isSafeInteger(classification) && (classification as number) >= 1)) {
    throw faultAt(`${place}.parameters.classification`, 'must be a whole number from 1');
  }
  return {
    name,
    binary: flagOf(parameters, 'binary_data', `${place}.parameters`),
    classification: classification as number | undefined,
  };
}

function flagOf(parameters: Parameters, key: string, place: string): boolean | undefined {
  const value = parameters[key];
  if (value === undefined || typeof value === 'boolean') return value;
  throw faultAt(`${place}.${key}`, 'must be true or false');
}

function refuseSharedMemory(parameters: Parameters, place: string): void {
  const key = Object.keys(parameters).find((each) => each.startsWith('shared_memory'));
  if (key !== undefined) throw faultAt(`${place}.parameters.${key}`, 'is not supported: there is no shared memory');
}
