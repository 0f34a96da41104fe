/**
 * Whether a device works, found out by using it: a process of its own runs a small net on it (probe-process.ts), because
 * what is tried here is the native code of strangers, which may crash or hang. The process has a time limit; what it and
 * the libraries in it wrote on standard error is kept, because only there is it said which library is missing.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { deviceName, type Device } from '../device.js';
import type { EngineDescription } from './engine-description.js';

/** What a device did with the probe net (probe-net.ts). */
export interface Measured {
  /** Of one run. */
  readonly runMs: number;
  /** The same on one core of the CPU. */
  readonly coreMs: number;
}

/** `failure`: why it does not work and what would help, as a sentence without its end. */
export type Probed = Measured | { readonly failure: string };

/** What the process says: `deviation` is the largest difference to the CPU's output, as a part of the largest value. */
export type ProbeReply = (Measured & { readonly deviation: number }) | { readonly failure: string };

/** TensorRT takes its time to compile even a small net. */
const LIMIT_MS = 60_000;
/** Of standard error: its end. */
const KEPT_CHARACTERS = 16_384;
/** NVIDIA's tensor cores round to ten bits (TF32), which five layers make a thousandth or two. */
const MAX_DEVIATION = 1e-2;

const PROCESS_FILE = fileURLToPath(new URL('./probe-process.js', import.meta.url));

/** Run the probe net on a device. Never rejects; takes `limitMs` at most. */
export function probeDevice(
  device: Device,
  engine: EngineDescription,
  processFile = PROCESS_FILE,
  limitMs = LIMIT_MS,
): Promise<Probed> {
  return new Promise((resolve) => {
    const child = fork(processFile, [engine.name, deviceName(device)], {
      execArgv: [],
      // JSON has no NaN, which is what a broken device may compute.
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      timeout: limitMs,
      killSignal: 'SIGKILL',
    });
    let written = '';
    let reply: ProbeReply | undefined;
    child.stderr
      ?.setEncoding('utf8')
      .on('data', (text: string) => (written = (written + text).slice(-KEPT_CHARACTERS)));
    child.on('message', (message) => {
      reply = message as ProbeReply;
      // It has said all that it has to say: to end well is not asked of a provider here.
      child.kill('SIGKILL');
    });
    const started = performance.now();
    const settle = (end: string): void => resolve(judge(device, engine, reply ?? { failure: end }, written));
    child.on('error', (error) => settle(error.message));
    child.on('close', (code, signal) => {
      const slow = signal === 'SIGKILL' && performance.now() - started >= limitMs;
      settle(
        slow ? `it did not answer within ${limitMs / 1000} s` : `its process ended with ${signal ?? `code ${code}`}`,
      );
    });
  });
}

function judge(device: Device, engine: EngineDescription, reply: ProbeReply, written: string): Probed {
  if ('failure' in reply) return { failure: engine.explainFailure(device.kind, reply.failure, written) };
  const { runMs, coreMs, deviation } = reply;
  if (!(deviation <= MAX_DEVIATION))
    return { failure: `its results differ from the CPU's by ${deviation.toPrecision(2)}` };
  return { runMs, coreMs };
}
