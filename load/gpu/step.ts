/**
 * The entry of a step's process. Its argument is a StepTask as JSON; what it finds out goes to its parent message by message, so
 * that nothing is lost when it dies or is killed. It ends by SIGKILL: an exit would run the destructors of native code, some of
 * which abort or wait.
 */
import { endMarked, MARK } from './marked-processes.js';
import type { StepKind } from './plan.js';
import { reasonOf, type StepContext, type StepMessage, type StepTask } from './step-task.js';

/** Each is loaded alone: a library that one lacks is no matter to the others. */
const STEPS: Readonly<Record<StepKind, () => Promise<(context: StepContext) => Promise<void>>>> = {
  devices: async () => (await import('./steps/devices.js')).tryDevices,
  answers: async () => (await import('./steps/answers.js')).measureAnswers,
  engine: async () => (await import('./steps/engine.js')).measureEngine,
  torch: async () => (await import('./steps/torch.js')).measureTorch,
  decoding: async () => (await import('./steps/decoding.js')).measureDecoding,
  fronts: async () => (await import('./steps/fronts.js')).measureFronts,
  server: async () => (await import('./steps/server.js')).measureServer,
  heatmaps: async () => (await import('./steps/heatmaps.js')).measureHeatmapsOn,
};

const started = performance.now();
const task = JSON.parse(process.argv[2]!) as StepTask;

function send(message: StepMessage | { readonly failure: string } | { readonly done: true }): Promise<void> {
  return new Promise((resolve) => process.send!(message, () => resolve()));
}

// The run was cut off. What it was told is written.
process.once('disconnect', () => void endMarked(process.env[MARK]!).then(endNow));

const context: StepContext = {
  ...task,
  put: (row) => void send({ row }),
  begin: (doing) => void send({ doing }),
  note: (note) => void send({ note }),
  skip: (skipped) => void send({ skipped }),
  left: () => task.seconds - (performance.now() - started) / 1000,
};
const perform = async (): Promise<void> => (await STEPS[task.kind]())(context);
await perform().then(
  () => send({ done: true }),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return send({ failure: reasonOf(error) });
  },
);
endNow();

function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}
