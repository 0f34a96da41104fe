/**
 * The outputs of an answer, each in JSON or as bytes behind it: in its order, and made in pieces while it leaves.
 * Source: Open Inference Protocol, "Inference response"; Triton, "Binary Tensor Data Extension".
 */
import type { FastifyReply } from 'fastify';
import { eachRange, type Steps } from '../../maps/steps.js';
import { inTurns, nextTurn } from '../../turns.js';
import { sendPieces } from '../pieces.js';
import { HEADER_LENGTH } from './infer-body.js';

/** The values lie in parts, one behind the other. */
export type OutputTensor = {
  readonly name: string;
  readonly shape: readonly number[];
} & (
  | { readonly datatype: 'FP32'; readonly parts: readonly Float32Array[] }
  | { readonly datatype: 'INT64'; readonly parts: readonly BigInt64Array[] }
  | { readonly datatype: 'BYTES'; readonly parts: readonly (readonly string[])[] }
);

/** An output and the form that it is asked for in. */
export interface WrittenOutput {
  readonly tensor: OutputTensor;
  readonly binary: boolean;
}

/** The fields of an answer before its outputs. */
export interface AnswerHead {
  readonly model_name: string;
  readonly model_version: string;
  readonly id?: string | undefined;
}

/** Values that are written at once. */
const VALUES = 4096;
/** Bytes of a piece. */
const PIECE = 2 ** 18;

/** Send an answer. Rejects, before anything is sent, if JSON cannot hold a value: it has no NaN. */
export async function sendOutputs(
  reply: FastifyReply,
  head: AnswerHead,
  outputs: readonly WrittenOutput[],
): Promise<FastifyReply> {
  for (const { tensor, binary } of outputs)
    if (!binary && tensor.datatype === 'FP32') await inTurns(checkFinite(tensor));
  const bytes = outputs.reduce((sum, { tensor }) => sum + byteLength(tensor), 0);
  if (!outputs.some(({ binary }) => binary)) {
    return sendPieces(reply.type('application/json'), jsonPieces(head, outputs), bytes);
  }
  const json = await wholeJson(head, outputs);
  const binary = outputs.filter((output) => output.binary).map(({ tensor }) => tensor);
  const length = binary.reduce((sum, tensor) => sum + byteLength(tensor), json.length);
  void reply.type('application/octet-stream').header(HEADER_LENGTH, json.length).header('content-length', length);
  return sendPieces(reply, binaryPieces(json, binary), bytes);
}

/** Its length is said before it. */
async function wholeJson(head: AnswerHead, outputs: readonly WrittenOutput[]): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const piece of jsonPieces(head, outputs)) {
    pieces.push(Buffer.from(piece));
    if (piece.length >= PIECE) await nextTurn();
  }
  return Buffer.concat(pieces);
}

function* checkFinite({ name, parts }: OutputTensor & { readonly datatype: 'FP32' }): Steps<void> {
  for (const part of parts) {
    yield* eachRange(part.length, (from, end) => {
      for (let i = from; i < end; i++) {
        if (!Number.isFinite(part[i])) throw new Error(`the output ${name} has values that are no numbers`);
      }
    });
  }
}

/** Of the values as bytes. */
function byteLength({ parts, datatype }: OutputTensor): number {
  if (datatype !== 'BYTES') return parts.reduce((sum, part) => sum + part.byteLength, 0);
  return parts.flat().reduce((sum, text) => sum + 4 + Buffer.byteLength(text), 0);
}

function* jsonPieces(head: AnswerHead, outputs: readonly WrittenOutput[]): Generator<string, void, void> {
  let text = `${JSON.stringify(head).slice(0, -1)},"outputs":[`;
  for (const [index, { tensor, binary }] of outputs.entries()) {
    const { name, datatype, shape, parts } = tensor;
    const fields = JSON.stringify({ name, datatype, shape }).slice(0, -1);
    text += `${index === 0 ? '' : ','}${fields}`;
    if (binary) {
      text += `,"parameters":{"binary_data_size":${byteLength(tensor)}}}`;
      continue;
    }
    text += ',"data":[';
    let comma = '';
    for (const part of parts) {
      for (let from = 0; from < part.length; from += VALUES) {
        text += comma + valuesText(part.slice(from, from + VALUES));
        comma = ',';
        if (text.length >= PIECE) {
          yield text;
          text = '';
        }
      }
    }
    text += ']}';
  }
  yield `${text}]}`;
}

function valuesText(values: OutputTensor['parts'][number]): string {
  return values instanceof Float32Array || values instanceof BigInt64Array
    ? values.join(',')
    : values.map((text) => JSON.stringify(text)).join(',');
}

function* binaryPieces(json: Buffer, tensors: readonly OutputTensor[]): Generator<Uint8Array, void, void> {
  // Small parts leave together.
  let together = [json];
  let length = json.length;
  for (const part of tensors.flatMap(({ parts }): readonly OutputTensor['parts'][number][] => parts)) {
    for (const bytes of bytesOf(part)) {
      together.push(bytes);
      length += bytes.length;
      if (length < PIECE) continue;
      yield Buffer.concat(together);
      together = [];
      length = 0;
    }
  }
  yield Buffer.concat(together);
}

/** Little endian, as the machines are that this runs on. */
function* bytesOf(part: OutputTensor['parts'][number]): Generator<Buffer, void, void> {
  if (part instanceof Float32Array || part instanceof BigInt64Array) {
    for (let from = 0; from < part.byteLength; from += PIECE) {
      yield Buffer.from(part.buffer, part.byteOffset + from, Math.min(PIECE, part.byteLength - from));
    }
    return;
  }
  for (const text of part) {
    const bytes = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    yield Buffer.concat([length, bytes]);
  }
}
