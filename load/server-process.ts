/** The real server as a process of its own, and the memory that it takes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { OperatorError } from '../src/errors.js';

export interface RunningServer {
  readonly url: string;
  readonly pid: number;
  /** Sends SIGTERM. Throws if the server does not end with code 0. */
  stop(): Promise<void>;
}

/** Start `fullconv serve` of a checkout on a free port, with settings by variable, and wait until it is ready. */
export async function startServer(settings: Readonly<Record<string, string>>, root = '.'): Promise<RunningServer> {
  const child = spawn(process.execPath, [join(root, 'dist/cli/fullconv.cjs'), 'serve'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...settings, PORT: '0', HOST: '127.0.0.1', FULLCONV_LOG_LEVEL: 'info' },
    // In a process group of its own: Ctrl-C is for the load test, which ends the server in its turn.
    detached: true,
  });
  const kill = (): boolean => child.kill('SIGKILL');
  process.once('exit', kill);
  const exited = once(child, 'exit') as Promise<[number | null]>;
  const url = await Promise.race([readUrl(child), exited.then(() => undefined)]);
  if (url === undefined) throw new OperatorError('the server did not start');
  return {
    url,
    pid: child.pid!,
    async stop() {
      child.kill('SIGTERM');
      const [code] = await exited;
      process.off('exit', kill);
      if (code !== 0) throw new Error(`the server ended with ${code}`);
    },
  };
}

/** The URL, from the log's line that says `ready`. */
async function readUrl({ stdout }: ChildProcess): Promise<string> {
  const lines = createInterface({ input: stdout! });
  return new Promise((resolve) => {
    lines.on('line', (line) => {
      if (!line.startsWith('{')) return;
      const { msg, url } = JSON.parse(line) as { msg?: string; url?: string };
      if (msg === 'ready' && url !== undefined) resolve(url);
    });
  });
}

/** Start a new peak of the resident memory. Linux only; elsewhere the peak is unknown. */
export async function forgetPeak({ pid }: RunningServer): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => undefined);
}

/** Peak of the resident memory in MiB since it was last forgotten; undefined where the system does not tell. */
export function peakOf(server: RunningServer): Promise<number | undefined> {
  return memoryOf(server, 'VmHWM');
}

/** The resident memory in MiB; undefined where the system does not tell. */
export function residentOf(server: RunningServer): Promise<number | undefined> {
  return memoryOf(server, 'VmRSS');
}

async function memoryOf({ pid }: RunningServer, what: string): Promise<number | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  const [, kibibytes] = new RegExp(`${what}:\\s+(\\d+)`).exec(status) ?? [];
  return kibibytes === undefined ? undefined : Number(kibibytes) / 1024;
}
