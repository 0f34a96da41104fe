/**
 * Finds out whether a device works by using it: a separate process runs a small net on it (probe-process.ts), because
 * third-party native code may crash or hang. The process has a time limit. Its standard error is kept, because only
 * there do the process and its libraries say which library is missing.
 */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Device } from '../device.js';
import type { EngineDescription } from './engine-description.js';
import type { EngineName } from './engines.js';
import type { Autocast } from './session.js';

/** How fast a device ran the probe net (probe-net.ts). */
export interface Measured {
  /** Milliseconds of one run on the device; on a CPU of processor time, whatever else the machine did (run-time.ts). */
  readonly runMs: number;
  /** Milliseconds of processor time of one run by the standard engine. */
  readonly coreMs: number;
  /** The half precision that it was measured in: that of the engine on this processor, if it has one and it is allowed. */
  readonly autocast?: Autocast | undefined;
}

/** What a process is to try; its argument, as JSON. */
export interface ProbeTask {
  readonly engine: EngineName;
  readonly device: Device;
  /** As in EngineOptions. */
  readonly libraryFolder?: string | undefined;
  /** Whether the engine may compute in half precision. */
  readonly mayAutocast: boolean;
}

/** `failure`: why the device does not work and what would help, as a sentence without a full stop. */
export type Probed = Measured | { readonly failure: string };

/**
 * The reply of the process. `deviation` is the largest difference from the CPU's output, relative to its largest value.
 */
export type ProbeReply = (Measured & { readonly deviation: number }) | { readonly failure: string };

/** TensorRT takes long to compile even a small net. */
const LIMIT_MS = 60_000;
/** Characters that are kept of the end of standard error. */
const KEPT_CHARACTERS = 16_384;
/**
 * NVIDIA's tensor cores round to ten bits (TF32), which adds up to one or two thousandths over five layers; bfloat16 has eight
 * bits, and two to four thousandths.
 */
const MAX_DEVIATION = 1e-2;

const PROCESS_FILE = fileURLToPath(new URL('./probe-process.js', import.meta.url));

export interface ProbeOptions extends Pick<ProbeTask, 'libraryFolder'> {
  /** Default: false. */
  readonly mayAutocast?: boolean;
  /** Path of the built probe-process.js. */
  readonly processFile?: string;
  readonly limitMs?: number | undefined;
}

/** Run the probe net on a device. Never rejects; takes `limitMs` at most. */
export function probeDevice(
  device: Device,
  engine: EngineDescription,
  { libraryFolder, mayAutocast = false, processFile = PROCESS_FILE, limitMs = LIMIT_MS }: ProbeOptions = {},
): Promise<Probed> {
  const task: ProbeTask = { engine: engine.name as EngineName, device, libraryFolder, mayAutocast };
  return new Promise((resolve) => {
    const child = fork(processFile, [JSON.stringify(task)], {
      execArgv: [],
      // A broken device may compute NaN, which JSON does not have.
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
      // The reply is complete, and the provider may be unable to end the process cleanly.
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
  const { deviation, ...measured } = reply;
  if (!(deviation <= MAX_DEVIATION))
    return { failure: `its results differ from the CPU's by ${deviation.toPrecision(2)}` };
  return measured;
}
