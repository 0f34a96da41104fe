/**
 * The entry of a process that works for the server (processes/): it parses strangers' images with native code, runs
 * networks and draws, so that the server's own process does none of that. It answers what it is asked by message
 * (processes/protocol.ts), and owns one engine's sessions, in a thread of their own: `run` blocks its thread, and meanwhile
 * this one decodes, or has others decode (decoders.ts). Without an engine it draws, or decodes for the process that started it.
 *
 * It ends when it is told to, when its engine's thread is lost, and when the server is gone. Signals to the whole process
 * group (Ctrl-C) are for the server, which lets it finish first. It ends itself by SIGKILL: an exit would run the
 * destructors of native code, and some of them abort.
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { draw } from '../drawing/draw.js';
import type { DrawJob } from '../drawing/studio.js';
import { OperatorError } from '../errors.js';
import { returnFreeMemory } from '../free-memory.js';
import { decodeInput } from '../images/decode.js';
import type { Work } from '../inference/work.js';
import { channelToParent } from '../processes/message-channel.js';
import {
  toPlainError,
  type Opened,
  type ProcessReply,
  type ProcessRequest,
  type ProcessStart,
  type Question,
} from '../processes/protocol.js';
import { WorkerThread } from '../runtime/worker-thread.js';
import { createDecoders, type DecodeJob } from './decoders.js';
import { createBatchRunner } from './run-batch.js';

/** What it is asked beside runs. */
type Job = DrawJob | DecodeJob;

/** The built worker of the engine's thread. */
const WORKER_FILE = fileURLToPath(new URL('../runtime/worker.js', import.meta.url));

const { engine, decoders, decoding } = JSON.parse(process.argv[2]!) as ProcessStart;

/**
 * Where memory is short the kernel ends this process before the server (0 to 1000), and one that decodes or draws before an engine's,
 * which takes more and longer to start.
 */
const OUT_OF_MEMORY_SCORE = engine === undefined ? '800' : '500';

/** Messages come when all below is there. It ends at once where the server has gone while this process loaded. */
const channel = channelToParent<ProcessReply, ProcessRequest<Work, Job>>({
  onMessage: receive,
  onEnd: () => endNow(),
  maxBytes: () => Infinity,
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('uncaughtException', ({ message }) => void die({ kind: 'dying', message }));
try {
  writeFileSync('/proc/self/oom_score_adj', OUT_OF_MEMORY_SCORE);
} catch {
  // Not Linux, or not allowed.
}

const thread = engine === undefined ? undefined : startEngine({ engine: engine.name, options: engine.options });
const decoder = createDecoders({
  ...{ decoders, decoding },
  // This file, or the one that has loaded it.
  workerFile: process.argv[1]!,
  onLost: ({ error: { message }, during, restartInMs }) =>
    void channel.send({ kind: 'helper-lost', message, during, restartInMs }),
  // It is of no use without them, and the server's other processes may be.
  onNoneLeft: ({ message }) => void die({ kind: 'dying', message }),
});
const batches = createBatchRunner({
  decode: (request, limitMs) => decoder.decode(request, limitMs),
  run: (session, feeds) => engineThread().run(session, feeds),
});
/** Batches that are not over: a session is closed behind them. */
const running = new Set<Promise<unknown>>();
/** Questions that are not answered, and how they learn that nobody waits any more. */
const asked = new Map<number, AbortController>();
/** Questions whose answers have not left yet. */
const answering = new Set<Promise<void>>();

if (thread === undefined) void channel.send({ kind: 'ready' });

function receive(request: ProcessRequest<Work, Job>): void {
  if ('exit' in request) void end();
  else if ('cancel' in request) asked.get(request.cancel)?.abort();
  else {
    const answered = reply(request.number, request.question);
    answering.add(answered);
    void answered.finally(() => answering.delete(answered));
  }
}

function startEngine(start: ConstructorParameters<typeof WorkerThread>[1]): WorkerThread {
  return new WorkerThread(WORKER_FILE, start, {
    onReady: () => void channel.send({ kind: 'ready' }),
    onIdle: () => undefined,
    onLost: ({ cause, message }) =>
      void die(
        cause instanceof OperatorError ? { kind: 'unusable', message: cause.message } : { kind: 'dying', message },
      ),
  });
}

function engineThread(): WorkerThread {
  if (thread === undefined) throw new Error('this process has no engine');
  return thread;
}

async function answer(question: Question<Work, Job>, signal: AbortSignal): Promise<unknown> {
  switch (question.kind) {
    case 'open': {
      const { provider, warmUpMs } = await engineThread().open(question.spec);
      return { provider, warmUpMs } satisfies Opened;
    }
    case 'close':
      await Promise.allSettled(running);
      return engineThread().close(question.session);
    case 'shrink':
      return engineThread().shrink();
    case 'return-memory':
      await Promise.all([thread?.returnMemory(), decoder.returnMemory()]);
      return returnFreeMemory();
    case 'run': {
      const run = batches.run(question.session, question.works, question.limitMs);
      running.add(run);
      return run.finally(() => running.delete(run));
    }
    case 'job':
      return question.job.kind === 'decode' ? decodeInput(question.job.request) : draw(question.job, signal);
  }
}

/** Resolves when the answer has left. */
async function reply(number: number, question: Question<Work, Job>): Promise<void> {
  const controller = new AbortController();
  asked.set(number, controller);
  try {
    await channel.send({ kind: 'answer', number, value: await answer(question, controller.signal) });
  } catch (error) {
    await channel.send({ kind: 'failure', number, error: toPlainError(error) });
  } finally {
    asked.delete(number);
  }
}

async function end(): Promise<void> {
  while (answering.size > 0) await Promise.allSettled(answering);
  thread?.stop();
  await Promise.all([thread?.exited, decoder.drain()]);
  endNow();
}

/** Say why, and end. */
async function die(reason: ProcessReply): Promise<void> {
  await channel.send(reason).catch(() => undefined);
  endNow();
}

function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}
