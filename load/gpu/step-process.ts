/**
 * One step in a process of its own: native code may crash or hang there. When the step ends, whatever it has started ends with it.
 */
import { fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { endMarked, MARK } from './marked-processes.js';
import type { StepRecord } from './report.js';
import type { StepMessage, StepTask } from './step-task.js';

const STEP_FILE = fileURLToPath(new URL('./step.js', import.meta.url));

/** Characters that are kept of the end of standard error. */
const KEPT_CHARACTERS = 4000;

export interface StepOptions {
  readonly limitSeconds: number;
  /** Variables beside those of this process. */
  readonly environment: Readonly<Record<string, string>>;
  /** Ends the step. */
  readonly signal: AbortSignal;
  /** Told of each row, note or reason to skip, at once. */
  readonly onMessage: (message: StepMessage) => void;
  /** The built step.js; tests have another. */
  readonly file?: string;
}

export type StepEnd = Pick<StepRecord, 'state' | 'seconds' | 'why' | 'written'>;

type Received = StepMessage | { readonly failure: string } | { readonly done: true };

/** Run a step. Never rejects. */
export async function runStep(task: StepTask, options: StepOptions): Promise<StepEnd> {
  const { limitSeconds, environment, signal, onMessage, file = STEP_FILE } = options;
  const mark = randomUUID();
  const started = performance.now();
  const child = fork(file, [JSON.stringify(task)], {
    env: { ...process.env, ...environment, [MARK]: mark },
    execArgv: [],
    // NaN and infinity, which JSON does not have, are results too.
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let written = '';
  const said: { isDone?: true; failure?: string; skipped?: string; stopped?: string; doing?: string } = {};
  const stop = (why: string): void => {
    said.stopped ??= why;
    child.kill('SIGKILL');
  };
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    written = (written + text).slice(-KEPT_CHARACTERS);
  });
  child.on('message', (message) => {
    const received = message as Received;
    if ('done' in received) said.isDone = true;
    else if ('failure' in received) said.failure = received.failure;
    else {
      if ('skipped' in received) said.skipped = received.skipped;
      if ('doing' in received) said.doing = received.doing;
      onMessage(received);
    }
  });
  const limit = setTimeout(() => stop(`it was not over after ${limitSeconds.toFixed(0)} s`), limitSeconds * 1000);
  const onAbort = (): void => stop('the run was stopped');
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  const how = await new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message));
    // Not 'close': what it has started may hold its standard error open.
    child.on('exit', (code, by) => resolve(by === null ? `code ${code}` : `signal ${by}`));
  });
  clearTimeout(limit);
  signal.removeEventListener('abort', onAbort);
  await endMarked(mark);
  // What was sent before the end is read by now, or never.
  await new Promise((resolve) => setTimeout(resolve, 50));
  const common = {
    seconds: (performance.now() - started) / 1000,
    ...(written.trim() === '' ? {} : { written: written.trim() }),
  };
  const { isDone, failure, skipped, stopped, doing } = said;
  const during = doing === undefined ? '' : `; it was at: ${doing}`;
  if (failure !== undefined) return { ...common, state: 'failed', why: failure };
  if (isDone && skipped !== undefined) return { ...common, state: 'skipped', why: skipped };
  if (isDone) return { ...common, state: 'done' };
  if (stopped !== undefined) return { ...common, state: 'killed', why: stopped + during };
  return { ...common, state: 'died', why: `its process ended with ${how}${during}` };
}
