/**
 * The outputs of an answer, each in JSON or as bytes behind it: in its order, and made in pieces while it leaves. An answer is
 * made without the id of its request, so that it may be kept for others; each gets its own when it leaves.
 * Source: Open Inference Protocol, "Inference response"; Triton, "Binary Tensor Data Extension".
 */
import { eachRange, type Steps } from '../../maps/steps.js';
import { inTurns, nextTurn } from '../../turns.js';
import type { MadeAnswer, PiecedBody } from '../answer.js';
import type { Piece } from '../pieces.js';
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
}

/** Values that are written at once. */
const VALUES = 4096;
/** Bytes of a piece. */
const PIECE = 2 ** 18;

/** An answer without an id. Rejects if JSON cannot hold a value: it has no NaN. */
export async function writeOutputs(head: AnswerHead, outputs: readonly WrittenOutput[]): Promise<MadeAnswer> {
  for (const { tensor, binary } of outputs)
    if (!binary && tensor.datatype === 'FP32') await inTurns(checkFinite(tensor));
  const sourceBytes = outputs.reduce((sum, { tensor }) => sum + byteLength(tensor), 0);
  const made = (headers: MadeAnswer['headers'], pieces: Iterator<Piece, void>): MadeAnswer => ({
    headers,
    body: { pieces, sourceBytes },
    isWhole: true,
    isTimed: false,
  });
  if (!outputs.some(({ binary }) => binary)) {
    return made({ 'content-type': 'application/json' }, jsonPieces(head, outputs));
  }
  const json = await wholeJson(head, outputs);
  const binary = outputs.filter((output) => output.binary).map(({ tensor }) => tensor);
  const length = binary.reduce((sum, tensor) => sum + byteLength(tensor), json.length);
  const headers = {
    'content-type': 'application/octet-stream',
    [HEADER_LENGTH]: json.length,
    'content-length': length,
  };
  return made(headers, binaryPieces(json, binary));
}

/** The answer to a request with this id. The head stands at its beginning, in its first piece. */
export function withId({ headers, body, ...answer }: MadeAnswer, head: AnswerHead, id: string | undefined): MadeAnswer {
  if (id === undefined) return { ...answer, headers, body };
  const at = Buffer.byteLength(headText(head));
  const field = Buffer.from(`,"id":${JSON.stringify(id)}`);
  const insert = (piece: Piece): Buffer => {
    const bytes = Buffer.from(piece);
    return Buffer.concat([bytes.subarray(0, at), field, bytes.subarray(at)]);
  };
  const lengths = [HEADER_LENGTH, 'content-length'].flatMap((name) => {
    const length = headers[name];
    return length === undefined ? [] : [[name, Number(length) + field.length] as const];
  });
  const isPieced = typeof body === 'object' && 'pieces' in body;
  return {
    ...answer,
    headers: { ...headers, ...Object.fromEntries(lengths) },
    body: isPieced ? { ...body, pieces: firstChanged(body, insert) } : insert(body),
  };
}

function* firstChanged({ pieces }: PiecedBody, change: (piece: Piece) => Piece): Generator<Piece, void, void> {
  try {
    for (let isFirst = true; ; isFirst = false) {
      const { done, value } = pieces.next();
      if (done) return;
      yield isFirst ? change(value) : value;
    }
  } finally {
    pieces.return?.();
  }
}

/** The beginning of an answer, up to where an id stands. */
function headText(head: AnswerHead): string {
  return JSON.stringify(head).slice(0, -1);
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
  let text = `${headText(head)},"outputs":[`;
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
