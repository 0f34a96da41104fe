/** Reads a file from front to back on a thread that may block, through a buffer. Its end is an error of the file. */
import { readSync } from 'node:fs';
import { ModelFileError } from '../files/model-file-error.js';

const BUFFER_BYTES = 2 ** 16;

const NEWLINE = 10;

/** Limit for bytes that are taken at once. */
const MAX_TAKEN_BYTES = 2 ** 26;

/** Limit for a line of text in a pickle. */
const MAX_LINE_BYTES = 2 ** 16;

export class FileCursor {
  readonly #file: string;
  readonly #descriptor: number;
  readonly #end: number;
  #buffer = Buffer.alloc(0);
  /** Position in the file of the buffer's first byte, and in the buffer of the next byte. */
  #begin: number;
  #at = 0;

  /** Reads from `begin` to `end`, in bytes. The descriptor belongs to the caller. */
  constructor(file: string, descriptor: number, { begin, end }: { readonly begin: number; readonly end: number }) {
    this.#file = file;
    this.#descriptor = descriptor;
    this.#begin = begin;
    this.#end = end;
  }

  /** Position of the next byte in the file. */
  get position(): number {
    return this.#begin + this.#at;
  }

  byte(): number {
    if (this.#at === this.#buffer.length) this.#fill(1);
    return this.#buffer[this.#at++]!;
  }

  /** The next `length` bytes, valid until the next call. */
  take(length: number): Buffer {
    if (this.#at + length > this.#buffer.length) this.#fill(length);
    this.#at += length;
    return this.#buffer.subarray(this.#at - length, this.#at);
  }

  /** Bytes up to a line's end, which is left out, as Latin-1. */
  line(): string {
    const bytes: number[] = [];
    for (let byte = this.byte(); byte !== NEWLINE; byte = this.byte()) {
      if (bytes.push(byte) > MAX_LINE_BYTES) throw this.fail('is damaged');
    }
    return Buffer.from(bytes).toString('latin1');
  }

  fail(detail: string): ModelFileError {
    return new ModelFileError(this.#file, 'file', detail);
  }

  /** Make sure that the buffer has `wanted` bytes behind the position. */
  #fill(wanted: number): void {
    const begin = this.position;
    if (wanted > MAX_TAKEN_BYTES) throw this.fail('has far longer texts than the checkpoint of a classifier');
    if (begin + wanted > this.#end) throw this.fail('ends too early: it was cut off, or did not arrive whole');
    const buffer = Buffer.allocUnsafe(Math.min(Math.max(wanted, BUFFER_BYTES), this.#end - begin));
    let filled = 0;
    while (filled < wanted) {
      const read = readSync(this.#descriptor, buffer, filled, buffer.length - filled, begin + filled);
      if (read === 0) throw this.fail('ended while it was read');
      filled += read;
    }
    this.#buffer = buffer.subarray(0, filled);
    this.#begin = begin;
    this.#at = 0;
  }
}
