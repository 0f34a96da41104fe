/**
 * Where the images of an engine's process are decoded: in the process itself, or in processes of their own. Hides which.
 *
 * One process does not decode well on many cores: its threads share a heap, the locks of libvips and one thread of JavaScript, and
 * a GPU's driver watches its memory (decision 0055). Processes of their own run the same file without an engine, decode a few
 * images at a time each, and belong to this process: they end when it does. One that dies is replaced; its images are decoded
 * once more, and then fail alone. The pixels come back over a pair of sockets.
 */
import pLimit from 'p-limit';
import { decodeInput, pixelsAsTheyAre, type DecodeRequest } from '../images/decode.js';
import { createJobPool } from '../processes/job-pool.js';
import type { DecodingStart } from '../processes/protocol.js';
import type { WorkerLost } from '../processes/slot.js';

/** An image to be decoded in another process, which answers with its pixels. */
export interface DecodeJob {
  readonly kind: 'decode';
  readonly request: DecodeRequest;
}

export interface Decoders {
  /**
   * As decodeInput, when it is its turn. Processes of their own may take `limitMs` for it, a second try included; the decoding of
   * this one cannot be ended. Throws WORKER_LOST, too.
   */
  decode(request: DecodeRequest, limitMs?: number): Promise<Uint8Array>;
  /** Have the processes that do nothing give free memory back to the system. */
  returnMemory(): Promise<void>;
  /** Finish what was asked, and end the processes. */
  drain(): Promise<void>;
}

export interface DecodersOptions {
  /** Images decoded at the same time, in all processes together. */
  readonly decoders: number;
  /** Absent: no other process decodes. */
  readonly decoding?: DecodingStart | undefined;
  /** Path of the built file that the processes run: main.js. */
  readonly workerFile: string;
  /** Told of each process that dies, before it is replaced. */
  readonly onLost: (info: WorkerLost) => void;
  /** Told when a process cannot be started and no other is ready. */
  readonly onNoneLeft: (reason: Error) => void;
}

/** Processes are started at once: the first images would wait for them. */
export function createDecoders({ decoders, decoding, workerFile, onLost, onNoneLeft }: DecodersOptions): Decoders {
  if (decoding === undefined) {
    const turns = pLimit(decoders);
    return {
      decode: (request) => turns(() => decodeInput(request)),
      returnMemory: () => Promise.resolve(),
      drain: () => Promise.resolve(),
    };
  }
  const { processes: size } = decoding;
  const pool = createJobPool<DecodeJob>({
    ...{ size, jobsEach: Math.ceil(decoders / size), workerFile, task: 'decode this image' },
    ...{ onWorkerLost: onLost, onNoneLeft },
  });
  pool.start();
  return {
    async decode(request, limitMs) {
      // They are here already.
      const known = pixelsAsTheyAre(request);
      if (known !== undefined) return known;
      const { width, height } = request.part ?? request.input.crop;
      const bytes = width * height * 3;
      return pool.do<Uint8Array>(
        { kind: 'decode', request },
        // It parses strangers' bytes: what it says is not trusted, and a network would read beyond what is too short.
        { maxAnswerBytes: bytes, limitMs, isAnswer: (value) => value instanceof Uint8Array && value.length === bytes },
      );
    },
    returnMemory: () => pool.returnMemory(),
    drain: () => pool.drain(),
  };
}
