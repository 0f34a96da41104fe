/** `fullconv serve` as a process of its own, over given models. */
import { spawn, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
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
export async function startServer(
  environment: Record<string, string>,
  entry = ENTRY,
  flags: readonly string[] = [],
): Promise<ServerProcess> {
  const child = spawn(process.execPath, [entry, 'serve', ...flags], {
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

/** A server whose log is not read here: `url` and its end are all that is known of it. */
export type UnreadServer = Omit<ServerProcess, 'log'>;

/**
 * Start the server in other surroundings, and wait until it is ready: with another standard output, as another user, or
 * behind a command that starts it. Rejects if it ends before.
 */
export async function startUnreadServer(
  environment: NodeJS.ProcessEnv,
  options: SpawnOptions,
  behind: readonly string[] = [],
): Promise<UnreadServer> {
  const port = await freePort();
  const [command, ...args] = [...behind, process.execPath, ENTRY, 'serve'];
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'ignore'],
    ...options,
    env: { FULLCONV_DEVICE: 'cpu', ...PATIENCE, ...PATIENT_STOP, ...environment, PORT: String(port) },
  });
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = once(child, 'exit').then(([code, signal]) => {
    process.off('exit', kill);
    return (code ?? signal) as number | NodeJS.Signals;
  });
  const url = `http://127.0.0.1:${port}`;
  const isReady = (): Promise<boolean> =>
    fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isReady())) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`ended with ${await ended}`);
    await sleep(20);
  }
  return {
    url,
    pid: child.pid!,
    ended,
    stop(signal = 'SIGTERM') {
      child.kill(signal);
      return ended;
    },
  };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
