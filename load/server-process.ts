/** The real server as a process of its own, and the memory that it takes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { OperatorError } from '../src/errors.js';

export interface RunningServer {
  readonly url: string;
  readonly pid: number;
  /** Sends SIGTERM. Throws if the server does not end with code 0. */
  stop(): Promise<void>;
}

/**
 * Start `fullconv serve` of a checkout on a free port, with settings by variable, and wait until it is ready. `launcher`: a
 * command that runs the command behind it.
 */
export async function startServer(
  settings: Readonly<Record<string, string>>,
  root = '.',
  launcher: readonly string[] = [],
): Promise<RunningServer> {
  return startProgram([...launcher, process.execPath, join(root, 'dist/cli/fullconv.cjs'), 'serve'], settings);
}

/** Start a program that is a server, and wait until its log says that it is ready, and where. */
export async function startProgram(
  [command, ...parameters]: readonly string[],
  settings: Readonly<Record<string, string>>,
): Promise<RunningServer> {
  const child = spawn(command!, parameters, {
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
  for (const each of await processTree(pid)) await writeFile(`/proc/${each}/clear_refs`, '5').catch(() => undefined);
}

/**
 * Peak of the resident memory in MiB since it was last forgotten, summed over the server's processes. Pages that they share
 * count once for each. Undefined where the system does not tell.
 */
export async function peakOf({ pid }: RunningServer): Promise<number | undefined> {
  return sumOf(pid, 'status', 'VmHWM');
}

/**
 * The resident memory of the server's processes in MiB. A page that several processes share counts once (PSS). Undefined
 * where the system does not tell.
 */
export async function residentOf({ pid }: Pick<RunningServer, 'pid'>): Promise<number | undefined> {
  return sumOf(pid, 'smaps_rollup', 'Pss');
}

/**
 * The part of it that is not backed by files. Unlike the whole it does not change when other programs map the same files.
 * Undefined where the system does not tell.
 */
export async function anonymousOf({ pid }: Pick<RunningServer, 'pid'>): Promise<number | undefined> {
  return sumOf(pid, 'smaps_rollup', 'Pss_Anon');
}

/** As residentOf, of the process alone that speaks HTTP. */
export async function ownResidentOf({ pid }: RunningServer): Promise<number | undefined> {
  return sumOver([pid], 'smaps_rollup', 'Pss');
}

async function sumOf(pid: number, file: string, what: string): Promise<number | undefined> {
  return sumOver(await processTree(pid), file, what);
}

async function sumOver(pids: readonly number[], file: string, what: string): Promise<number | undefined> {
  const line = new RegExp(`^${what}:\\s+(\\d+)`, 'm');
  let mebibytes: number | undefined;
  for (const each of pids) {
    const [, kibibytes] = line.exec(await readProc(each, file)) ?? [];
    if (kibibytes !== undefined) mebibytes = (mebibytes ?? 0) + Number(kibibytes) / 1024;
  }
  return mebibytes;
}

/** Clock ticks of /proc a second, on every Linux that Node runs on. */
const TICKS = 100;

/**
 * Processor seconds that the server's processes have taken so far, those of its dead children included. Undefined where the
 * system does not tell.
 */
export async function processorSeconds({ pid }: Pick<RunningServer, 'pid'>): Promise<number | undefined> {
  let ticks: number | undefined;
  for (const each of await processTree(pid)) {
    // After the name in brackets: utime, stime, cutime and cstime are the fields 14 to 17.
    const fields = (await readProc(each, 'stat')).split(') ').at(-1)!.split(' ').slice(11, 15).map(Number);
    if (fields.length === 4) ticks = (ticks ?? 0) + fields.reduce((sum, value) => sum + value, 0);
  }
  return ticks === undefined ? undefined : ticks / TICKS;
}

/** A process and all that it has started, as far as they run. */
export async function processTree(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(threads.map((thread) => readProc(pid, `task/${thread}/children`)));
  const children = lists.flatMap((list) => list.split(' ').filter((text) => text.trim() !== ''));
  return [pid, ...(await Promise.all(children.map((child) => processTree(Number(child))))).flat()];
}

function readProc(pid: number, file: string): Promise<string> {
  return readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');
}
