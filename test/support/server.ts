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

/** Start the server on a free port and wait until it is ready. Rejects with what it wrote when it ends before. */
export async function startServer(environment: Record<string, string>): Promise<ServerProcess> {
  const child = spawn(process.execPath, [ENTRY, 'serve'], {
    env: { ...process.env, PORT: '0', FULLCONV_DEVICE: 'cpu', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
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
    child.once('exit', (code) => setImmediate(() => reject(new Error(`ended with ${code}: ${log.join('\n')}`))));
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
