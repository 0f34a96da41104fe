/**
 * One worker thread seen from the main thread: requests go out in their order, and as many runs at the same time as its engine has
 * lanes. Hides the messages, the transfers and the ways in which a thread can end. However it ends, every unanswered request
 * rejects with WorkerLostError.
 */
import { Worker } from 'node:worker_threads';
import { OperatorError, WorkerLostError } from '../errors.js';
import type { TensorMap } from '../tensor.js';
import type { SessionSpec } from './session.js';
import {
  buffersOf,
  type NumberedRequest,
  type WorkerMessage,
  type WorkerReply,
  type WorkerRequest,
  type WorkerStart,
} from './worker-protocol.js';

/** A thread's reply about a session that it has opened. */
export type Opened = Extract<WorkerReply, { kind: 'opened' }>;

/** A thread's reply about a run. */
export type Ran = Extract<WorkerReply, { kind: 'ran' }>;

export interface WorkerThreadEvents {
  /** The engine is loaded. */
  onReady(): void;
  /** Nothing is in flight or waiting any more. Called after the last request has settled. */
  onIdle(): void;
  /** The thread ended, and not because of `stop`. `busy`: a request was in flight. */
  onLost(error: WorkerLostError, busy: boolean): void;
}

interface Pending {
  readonly request: WorkerRequest;
  readonly transfer: readonly ArrayBuffer[];
  readonly resolve: (reply: WorkerReply) => void;
  readonly reject: (error: Error) => void;
}

/** A running thread. Requests made before it is ready wait until it is. */
export class WorkerThread {
  /** Ids of the sessions open on this thread. */
  readonly sessions = new Set<string>();
  ready = false;
  /** Settles when the thread has ended, for whatever reason. */
  readonly exited: Promise<void>;
  readonly #worker: Worker;
  readonly #events: WorkerThreadEvents;
  readonly #lanes: number;
  /** Not sent yet, in their order. */
  readonly #waiting: Pending[] = [];
  /** Sent and not answered, by number. */
  readonly #inFlight = new Map<number, Pending>();
  #sent = 0;
  #stopping = false;
  #fault: Error | undefined;

  constructor(file: string, start: WorkerStart, events: WorkerThreadEvents) {
    this.#events = events;
    this.#lanes = start.options.lanes ?? 1;
    // The process's own flags may not fit a worker's file (--input-type, a loader).
    this.#worker = new Worker(file, { workerData: start, execArgv: [] });
    this.#worker.on('message', (message: WorkerMessage) => this.#receive(message));
    // An uncaught exception, or no memory left; 'exit' follows.
    this.#worker.on('error', (error: unknown) => (this.#fault = asError(error)));
    this.exited = new Promise((resolve) => {
      this.#worker.on('exit', (code) => {
        this.#end(code);
        resolve();
      });
    });
  }

  /** Ready, and nothing in flight or waiting. */
  get idle(): boolean {
    return this.ready && this.#asked === 0 && !this.#stopping;
  }

  /** Open a session and warm it up. Rejects with the engine's message. */
  async open(spec: SessionSpec): Promise<Opened> {
    const reply = await this.#request({ kind: 'open', spec }, []);
    this.sessions.add(spec.id);
    return expectKind(reply, 'opened');
  }

  async close(sessionId: string): Promise<void> {
    this.sessions.delete(sessionId);
    await this.#request({ kind: 'close', sessionId }, []);
  }

  /** Run an open session. The feeds' buffers are gone from this thread until the reply brings them back. */
  async run(sessionId: string, feeds: TensorMap): Promise<Ran> {
    return expectKind(await this.#request({ kind: 'run', sessionId, feeds }, buffersOf(feeds)), 'ran');
  }

  /** Give back the memory that runs have left with the open sessions. */
  async shrink(): Promise<void> {
    expectKind(await this.#request({ kind: 'shrink' }, []), 'shrunk');
  }

  /** Collect the thread's garbage, and give free memory of the whole process back to the system. */
  async returnMemory(): Promise<void> {
    expectKind(await this.#request({ kind: 'return-memory' }, []), 'memory-returned');
  }

  /** Let the thread answer its requests and then end. */
  stop(): void {
    if (this.#stopping) return;
    this.#stopping = true;
    const ignore = (): void => undefined;
    this.#push({ request: { kind: 'exit' }, transfer: [], resolve: ignore, reject: ignore });
  }

  #request(request: WorkerRequest, transfer: readonly ArrayBuffer[]): Promise<WorkerReply> {
    return new Promise((resolve, reject) => {
      if (this.#stopping) reject(new WorkerLostError('the worker has ended'));
      else this.#push({ request, transfer, resolve, reject });
    });
  }

  /** Requests without an answer. */
  get #asked(): number {
    return this.#waiting.length + this.#inFlight.size;
  }

  #push(pending: Pending): void {
    this.#waiting.push(pending);
    if (this.ready) this.#send();
  }

  /** Send what may go, in order: a run when a lane is free, what closes something when nothing is in flight. */
  #send(): void {
    for (let head = this.#waiting[0]; head !== undefined && this.#mayGo(head); head = this.#waiting[0]) {
      this.#waiting.shift();
      const number = (this.#sent += 1);
      try {
        this.#worker.postMessage({ number, request: head.request } satisfies NumberedRequest, head.transfer);
        this.#inFlight.set(number, head);
      } catch (error) {
        // A feed that cannot be cloned or transferred: the caller's fault.
        head.reject(asError(error));
      }
    }
  }

  #mayGo({ request: { kind } }: Pending): boolean {
    if (kind === 'close' || kind === 'exit') return this.#inFlight.size === 0;
    if (kind !== 'run') return true;
    return [...this.#inFlight.values()].filter(({ request }) => request.kind === 'run').length < this.#lanes;
  }

  #receive(message: WorkerMessage): void {
    if (message.kind === 'ready') {
      this.ready = true;
      this.#send();
      this.#events.onReady();
      return;
    }
    if (message.kind === 'unusable') {
      this.#fault = new OperatorError(message.message);
      return;
    }
    const { number, reply } = message;
    const settled = this.#inFlight.get(number);
    this.#inFlight.delete(number);
    this.#send();
    if (reply.kind === 'failed') settled?.reject(Object.assign(new Error(reply.message), { stack: reply.stack }));
    else settled?.resolve(reply);
    if (this.idle) this.#events.onIdle();
  }

  #end(code: number): void {
    const stopped = this.#stopping && this.#fault === undefined && code === 0;
    const reason = this.#fault?.message ?? `it exited with code ${code}`;
    const error = new WorkerLostError(`the worker was lost: ${reason}`, { cause: this.#fault });
    const busy = this.ready && this.#asked > 0;
    this.ready = false;
    this.#stopping = true;
    const lost = [...this.#inFlight.values(), ...this.#waiting.splice(0)];
    this.#inFlight.clear();
    for (const { reject } of lost) reject(error);
    if (!stopped) this.#events.onLost(error, busy);
  }
}

function asError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** A worker answers a request with its own kind of reply: anything else is a bug in worker.ts. */
function expectKind<K extends WorkerReply['kind']>(reply: WorkerReply, kind: K): Extract<WorkerReply, { kind: K }> {
  if (reply.kind !== kind) throw new Error(`the worker answered ${reply.kind}, not ${kind}`);
  return reply as Extract<WorkerReply, { kind: K }>;
}
