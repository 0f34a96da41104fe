/**
 * The entry of a worker thread: owns its sessions and answers requests as they come (worker-protocol.ts). An exception
 * inside a request is answered as data. An exception outside a request ends the thread, and the pool replaces it.
 *
 * The thread ends because it has nothing left to do, never by `process.exit` or `terminate`: if they end it while the
 * engine runs, native code takes the whole process down (SIGABRT).
 */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { OperatorError } from '../errors.js';
import { returnFreeMemory } from '../free-memory.js';
import { engineNamed } from './engines.js';
import type { Engine, Session } from './session.js';
import { yieldToOtherThreads } from './thread-priority.js';
import { warmUp } from './warm-up.js';
import {
  buffersOf,
  type NumberedRequest,
  type WorkerMessage,
  type WorkerReply,
  type WorkerRequest,
  type WorkerStart,
} from './worker-protocol.js';

/**
 * The engine computes for milliseconds; the server's own thread and the decoders need only moments. If all had equal
 * priority, an answer would wait until the scheduler takes a core from the engine.
 */
const NICE = 5;

if (parentPort === null) throw new Error('worker.js is the entry of a worker thread');
yieldToOtherThreads(NICE);
await start(parentPort, workerData as WorkerStart);

/** Load the engine and serve. If the engine must be installed first, nothing is left to do and the thread ends. */
async function start(port: MessagePort, { engine: name, options }: WorkerStart): Promise<void> {
  let engine: Engine;
  try {
    engine = await engineNamed(name).load(options);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    port.postMessage({ kind: 'unusable', message: error.message } satisfies WorkerMessage);
    return;
  }
  serve(port, engine);
}

function serve(port: MessagePort, engine: Engine): void {
  const sessions = new Map<string, Session>();

  function sessionOf(id: string): Session {
    const session = sessions.get(id);
    if (session === undefined) throw new Error(`the session ${id} is not open`);
    return session;
  }

  async function answer(request: Exclude<WorkerRequest, { kind: 'exit' }>): Promise<WorkerReply> {
    switch (request.kind) {
      case 'open': {
        const session = await engine.open(request.spec);
        const warmUpMs = await warmUp(session, request.spec.warmUp).catch(async (error: unknown) => {
          await session.release();
          throw error;
        });
        await sessions.get(request.spec.id)?.release();
        sessions.set(request.spec.id, session);
        return { kind: 'opened', provider: session.provider, warmUpMs };
      }
      case 'run': {
        const session = sessionOf(request.sessionId);
        const start = performance.now();
        const outputs = await session.run(request.feeds);
        const runMs = performance.now() - start;
        const { hasGrown = false } = session;
        return { kind: 'ran', outputs, runMs, hasGrown, buffers: buffersOf(request.feeds) };
      }
      case 'close': {
        const session = sessions.get(request.sessionId);
        sessions.delete(request.sessionId);
        await session?.release();
        return { kind: 'closed' };
      }
      case 'shrink':
        for (const session of sessions.values()) if (session.hasGrown === true) await session.shrink?.();
        return { kind: 'shrunk' };
      case 'return-memory':
        await returnFreeMemory();
        return { kind: 'memory-returned' };
    }
  }

  async function end(): Promise<void> {
    for (const session of sessions.values()) await session.release();
    port.close();
  }

  async function handle({ number, request }: NumberedRequest): Promise<void> {
    if (request.kind === 'exit') return end();
    const reply = await answer(request).catch(asFailure);
    const message: WorkerMessage = { kind: 'reply', number, reply };
    port.postMessage(message, reply.kind === 'ran' ? [...buffersOf(reply.outputs), ...reply.buffers] : []);
  }

  port.on('message', (request: NumberedRequest) => void handle(request));
  port.postMessage({ kind: 'ready' } satisfies WorkerMessage);
}

function asFailure(thrown: unknown): WorkerReply {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  return { kind: 'failed', message: error.message, stack: error.stack };
}
