/**
 * The entry of a step's process. Its argument is a StepTask as JSON; what it finds out goes to its parent message by message, so
 * that nothing is lost when it dies or is killed. It ends by SIGKILL: an exit would run the destructors of native code, some of
 * which abort or wait.
 */
import { measureAnswers } from './steps/answers.js';
import { measureDecoding } from './steps/decoding.js';
import { measureEngine } from './steps/engine.js';
import { measureFronts } from './steps/fronts.js';
import { measureHeatmapsOn } from './steps/heatmaps.js';
import { measureServer } from './steps/server.js';
import { tryDevices } from './steps/devices.js';
import { measureTorch } from './steps/torch.js';
import { endMarked, MARK } from './marked-processes.js';
import type { StepKind } from './plan.js';
import { reasonOf, type StepContext, type StepMessage, type StepTask } from './step-task.js';

const STEPS: Readonly<Record<StepKind, (context: StepContext) => Promise<void>>> = {
  devices: tryDevices,
  answers: measureAnswers,
  engine: measureEngine,
  torch: measureTorch,
  decoding: measureDecoding,
  fronts: measureFronts,
  server: measureServer,
  heatmaps: measureHeatmapsOn,
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
  note: (note) => void send({ note }),
  skip: (skipped) => void send({ skipped }),
  left: () => task.seconds - (performance.now() - started) / 1000,
};
await STEPS[task.kind](context).then(
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
