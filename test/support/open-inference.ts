/** Requests and answers of the Open Inference Protocol, as its clients write and read them: independent of the server's code. */
import type { LightMyRequestResponse } from 'fastify';

interface Tensor {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
  readonly data?: readonly unknown[];
  readonly parameters?: Readonly<Record<string, unknown>>;
}

export interface InferAnswer {
  readonly model_name: string;
  readonly model_version: string;
  readonly id?: string;
  readonly outputs: readonly Tensor[];
}

/** A body of JSON with the bytes of tensors behind it, and the header that says where those begin. */
export function binaryBody(json: object, ...tensors: readonly Uint8Array[]) {
  const head = Buffer.from(JSON.stringify(json));
  return {
    payload: Buffer.concat([head, ...tensors]),
    headers: { 'inference-header-content-length': String(head.length) },
  };
}

/** An input of bytes. */
export function binaryInput(datatype: string, shape: readonly number[], bytes: number): Tensor {
  return { name: 'image', datatype, shape, parameters: { binary_data_size: bytes } };
}

/** A BYTES tensor: each element with its length before it, 32 bits little endian. */
export function bytesTensor(...elements: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    elements.flatMap((element) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(element.length);
      return [length, element];
    }),
  );
}

/** The JSON of an answer, and the bytes of its binary outputs by name. */
export function readAnswer({ rawPayload, headers }: LightMyRequestResponse): {
  readonly answer: InferAnswer;
  readonly binary: ReadonlyMap<string, Buffer>;
} {
  const length = headers['inference-header-content-length'];
  const end = length === undefined ? rawPayload.length : Number(length);
  const answer = JSON.parse(rawPayload.toString('utf8', 0, end)) as InferAnswer;
  const binary = new Map<string, Buffer>();
  let at = end;
  for (const { name, parameters } of answer.outputs) {
    const size = parameters?.['binary_data_size'];
    if (typeof size !== 'number') continue;
    binary.set(name, rawPayload.subarray(at, at + size));
    at += size;
  }
  if (at !== rawPayload.length) throw new Error(`${rawPayload.length - at} bytes belong to no output`);
  return { answer, binary };
}

export function float32(bytes: Buffer): Float32Array {
  return new Float32Array(Uint8Array.from(bytes).buffer);
}
