/** `fullconv serve` as a process of its own, over given models. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { ENTRY } from './command-line.js';

export interface ServerProcess {
  readonly url: string;
  readonly pid: number;
  readonly log: string[];
  /** Resolves to the exit code, or the signal that ended the process. */
  readonly ended: Promise<number | NodeJS.Signals>;
  stop(signal?: NodeJS.Signals): Promise<number | NodeJS.Signals>;
}

/** Long time limits: a busy machine must not be taken for a missed deadline or a request that does not come in. */
export const PATIENCE = {
  FULLCONV_DEADLINE_MS: '3600000',
  FULLCONV_REQUEST_TIMEOUT_MS: '3600000',
  FULLCONV_MIN_RATE: '0',
};
const PATIENT_STOP = { FULLCONV_DRAIN_TIMEOUT_MS: '3600000' };

/** Start the server on a free port and wait until it is ready. Rejects with its output if it ends before. */
export async function startServer(environment: Record<string, string>, entry = ENTRY): Promise<ServerProcess> {
  const child = spawn(process.execPath, [entry, 'serve'], {
    env: { ...process.env, PORT: '0', FULLCONV_DEVICE: 'cpu', ...PATIENCE, ...PATIENT_STOP, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  // The server of a test that was given up must not outlive its file.
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  const log: string[] = [];
  const ended = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        log.push(line);
        const found = /"url":"(http[^"]+)".*"msg":"ready"/.exec(line)?.[1];
        if (found !== undefined) resolve(found);
      });
    }
    child.once('exit', (code, signal) =>
      setImmediate(() => reject(new Error(`ended with ${code ?? signal}: ${log.join('\n')}`))),
    );
  });
  return {
    url,
    pid: child.pid!,
    log,
    ended,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}
