/**
 * One process that works for the server, seen from the server. Hides the numbers of questions and the ways in which a
 * process can end. Whatever ends it, every question without an answer rejects with WorkerLostError.
 *
 * The process outlives no server: it ends when the channel closes. It parses strangers' bytes in native code, so what it
 * sends may be anything: a process that sends more than an answer may have, or what is no answer, is killed.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { OperatorError, WorkerLostError } from '../errors.js';
import type { SessionSpec } from '../runtime/session.js';
import { CHANNEL_FD, openChannel, type MessageChannel } from './message-channel.js';
import {
  fromPlainError,
  isRanBatch,
  isReply,
  lanesOf,
  type HelperLost,
  type Opened,
  type ProcessReply,
  type ProcessRequest,
  type ProcessStart,
  type Question,
  type RanBatch,
} from './protocol.js';

export interface ChildEvents {
  /** The process can be asked. */
  onReady(): void;
  /** Nothing is asked any more. Called after the last question has settled. */
  onIdle(): void;
  /** A process died that this one had started. */
  onHelperLost?(info: HelperLost): void;
  /** The process is gone, and not by `stop`. `wasBusy`: a question had no answer yet. */
  onLost(error: WorkerLostError, wasBusy: boolean): void;
}

export interface AskOptions {
  /** The process is killed when it has not answered in this many milliseconds. Default: never. */
  readonly limitMs?: number | undefined;
  /** Aborted when nobody waits any more. The process is told, and killed when it goes on for GRACE_MS. */
  readonly signal?: AbortSignal | undefined;
  /** The most bytes that the answer's large arrays may have; the process is killed when it sends more. Default: 1 GiB. */
  readonly maxAnswerBytes?: number | undefined;
  /** Whether a value is an answer to this; the process is killed when it sends another. Default: any is. */
  readonly isAnswer?: ((value: unknown) => boolean) | undefined;
}

const MAX_ANSWER_BYTES = 2 ** 30;

/** How long a process may take to end what nobody waits for. What can be ended ends within a few milliseconds. */
const GRACE_MS = 500;

interface Pending {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  /** Called once, after either of them. */
  readonly release: () => void;
  readonly maxAnswerBytes: number;
  readonly isAnswer: (value: unknown) => boolean;
  /** Nobody waits for it, and it hinders nothing that is asked meanwhile. */
  readonly isAside: boolean;
}

/** A heap as small as a process's own would be marked several times a second: see process-setup.ts. */
export const V8_FLAGS = ['--heap-growing-percent=300'];

/**
 * glibc keeps what threads have freed, in up to eight heaps a core, and takes ever larger blocks out of heaps once some have
 * been freed. Two heaps, and blocks of 1 MiB and more that are the system's own, take less memory and less time (decision
 * 0035). Other allocators do not read this. Whoever sets one of these variables sets all of them.
 */
export const MALLOC: Readonly<Record<string, string>> = Object.keys(process.env).some((name) =>
  name.startsWith('MALLOC_'),
)
  ? {}
  : { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '1048576', MALLOC_TRIM_THRESHOLD_: '1048576' };

/** libuv's threads beside those that decode, or wait for a run: files, and what the engine reads. */
const OTHER_THREADS = 2;

export class Child<Work = unknown, Output = unknown, Job = unknown> {
  /** Ids of the sessions that are open in the process. */
  readonly sessions = new Set<string>();
  ready = false;
  /** Settles when the process has ended, whatever ended it. */
  readonly exited: Promise<void>;
  /** Absent if the system could not even try to start it, e.g. without memory. */
  readonly #process: ChildProcess | undefined;
  /** Absent if the process could not be started. */
  readonly #channel: MessageChannel<ProcessRequest<Work, Job>> | undefined;
  readonly #events: ChildEvents;
  readonly #pending = new Map<number, Pending>();
  /** Asked before the process was ready. */
  #early: (() => void)[] = [];
  #asked = 0;
  #stopping = false;
  #fault: Error | undefined;

  constructor(file: string, start: ProcessStart, events: ChildEvents) {
    this.#events = events;
    // Without the server's own flags, which may not fit (--input-type, a loader, an inspector's port).
    const decoders = start.decoding === undefined ? start.decoders : 0;
    try {
      this.#process = spawn(process.execPath, [...V8_FLAGS, file, JSON.stringify(start)], {
        // A pipe for both directions; on Windows it must be one that can be read and written at the same time.
        stdio: ['ignore', 'inherit', 'inherit', 'overlapped'],
        env: { ...MALLOC, ...process.env, UV_THREADPOOL_SIZE: String(decoders + lanesOf(start) + OTHER_THREADS) },
      });
    } catch (error) {
      this.#fault = error as Error;
    }
    this.#channel = this.#open();
    this.exited = new Promise((resolve) => {
      let isOver = false;
      const end = (how: string): void => {
        if (isOver) return;
        isOver = true;
        this.#end(how);
        resolve();
      };
      const started = this.#process;
      if (started === undefined) {
        // Whoever starts it knows it by then.
        queueMicrotask(() => end('an error'));
        return;
      }
      // The answers it sent before it ended are read before 'close'.
      started.once('close', (code, signal) => end(signal === null ? `code ${code}` : `signal ${signal}`));
      started.once('error', (error) => {
        this.#fault ??= error;
        // It was never started: no 'close' follows.
        if (started.pid === undefined) end('an error');
      });
    });
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Questions without an answer, but for those that hinder no other. */
  get load(): number {
    let count = 0;
    for (const { isAside } of this.#pending.values()) if (!isAside) count += 1;
    return count;
  }

  /** Ready, and asked nothing. */
  get idle(): boolean {
    return this.ready && this.load === 0 && !this.#stopping;
  }

  /** Open a session and warm it up. Rejects with the engine's message. */
  async open(spec: SessionSpec): Promise<Opened> {
    const opened = await this.#ask<Opened>({ kind: 'open', spec });
    this.sessions.add(spec.id);
    return opened;
  }

  /** After the runs that were asked before. */
  async close(session: string): Promise<void> {
    this.sessions.delete(session);
    await this.#ask({ kind: 'close', session });
  }

  /** Run a batch in an open session. */
  run(session: string, works: readonly Work[], options?: AskOptions): Promise<RanBatch<Output>> {
    return this.#ask({ kind: 'run', session, works, limitMs: options?.limitMs }, { ...options, isAnswer: isRanBatch });
  }

  /** Have the engine give back the memory that runs have left with it. */
  async shrink(): Promise<void> {
    await this.#ask({ kind: 'shrink' });
  }

  /** Have the process give free memory back to the system. */
  async returnMemory(): Promise<void> {
    await this.#ask({ kind: 'return-memory' });
  }

  /** Anything else that the process answers. */
  do<Answer>(job: Job, options?: AskOptions): Promise<Answer> {
    return this.#ask({ kind: 'job', job }, options);
  }

  /** Let the process answer what it was asked and then end. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#whenReady(() => this.#send({ exit: true }));
  }

  /** End the process now. What it was asked rejects with WorkerLostError, which says why. */
  kill(why: string): void {
    this.#fault ??= new Error(why);
    this.#process?.kill('SIGKILL');
  }

  #open(): MessageChannel<ProcessRequest<Work, Job>> | undefined {
    // Of a process that was not started it is undefined, whatever its type says.
    const stdio: ChildProcess['stdio'] | undefined = this.#process?.stdio;
    const stream = stdio?.[CHANNEL_FD];
    if (stream === undefined || stream === null) return undefined;
    return openChannel<ProcessRequest<Work, Job>, unknown>(stream as Duplex, {
      onMessage: (message) => {
        if (!isReply(message) || !this.#expects(message)) this.kill('it sent what is no reply to anything');
        else this.#receive(message);
      },
      onEnd: (error) => {
        if (error !== undefined) this.kill(error.message);
        // It may live on, but can be asked nothing.
        else this.#process?.kill('SIGKILL');
      },
      maxBytes: () => Math.max(0, ...Array.from(this.#pending.values(), ({ maxAnswerBytes }) => maxAnswerBytes)),
    });
  }

  #ask<Answer>(question: Question<Work, Job>, options: AskOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (this.#stopping) {
        reject(new WorkerLostError('the worker has ended'));
        return;
      }
      const number = (this.#asked += 1);
      const unlimit = this.#limit(number, options);
      const { maxAnswerBytes = MAX_ANSWER_BYTES, isAnswer = () => true } = options;
      // Who has asked keeps the question until then, to ask it again where the process is lost.
      const settled = new Promise<void>((settle) => {
        const release = (): void => {
          unlimit();
          settle();
        };
        const isAside = question.kind === 'return-memory';
        this.#pending.set(number, { resolve, reject, release, maxAnswerBytes, isAnswer, isAside });
      });
      this.#whenReady(() => this.#send({ number, question }, settled));
    });
  }

  /** End what takes too long, or what nobody waits for. Returns a function that ends this. */
  #limit(number: number, { limitMs, signal }: AskOptions): () => void {
    let timer: NodeJS.Timeout | undefined;
    const killIn = (ms: number, why: string): void => {
      clearTimeout(timer);
      timer = setTimeout(() => this.kill(`it was killed because ${why}`), ms);
    };
    const cancel = (): void => {
      this.#whenReady(() => this.#send({ cancel: number }));
      killIn(GRACE_MS, 'it went on with what nobody waited for');
    };
    if (limitMs !== undefined) killIn(limitMs, `it gave no answer in ${Math.round(limitMs)} ms`);
    signal?.addEventListener('abort', cancel);
    return () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', cancel);
    };
  }

  #whenReady(send: () => void): void {
    if (this.ready) send();
    else this.#early.push(send);
  }

  #send(request: ProcessRequest<Work, Job>, settled?: Promise<void>): void {
    try {
      void this.#channel?.send(request, settled);
    } catch (error) {
      // Something in it cannot be cloned: the caller's fault, and the process knows nothing of it.
      if ('number' in request) this.#settle(request.number)?.reject(error as Error);
    }
  }

  #expects(reply: ProcessReply): boolean {
    if (reply.kind === 'ready') return !this.ready;
    if (!('number' in reply)) return true;
    const pending = this.#pending.get(reply.number);
    return pending !== undefined && (reply.kind !== 'answer' || pending.isAnswer(reply.value));
  }

  #receive(reply: ProcessReply): void {
    switch (reply.kind) {
      case 'ready': {
        this.ready = true;
        const early = this.#early;
        this.#early = [];
        early.forEach((send) => send());
        this.#events.onReady();
        return;
      }
      case 'unusable':
        this.#fault = new OperatorError(reply.message);
        return;
      case 'dying':
        this.#fault ??= new Error(reply.message);
        return;
      case 'helper-lost':
        this.#events.onHelperLost?.(reply);
        return;
      case 'answer':
        this.#settle(reply.number)?.resolve(reply.value as never);
        break;
      case 'failure':
        this.#settle(reply.number)?.reject(fromPlainError(reply.error));
        break;
    }
    if (this.idle) this.#events.onIdle();
  }

  #settle(number: number): Pending | undefined {
    const pending = this.#pending.get(number);
    this.#pending.delete(number);
    pending?.release();
    return pending;
  }

  #end(how: string): void {
    const wasAsked = this.#stopping && this.#fault === undefined;
    const error = new WorkerLostError(`the worker was lost: ${this.#fault?.message ?? `it ended with ${how}`}`, {
      cause: this.#fault,
    });
    const wasBusy = this.ready && this.load > 0;
    this.ready = false;
    this.#stopping = true;
    for (const number of [...this.#pending.keys()]) this.#settle(number)?.reject(error);
    if (!wasAsked) this.#events.onLost(error, wasBusy);
  }
}
