/** A closed loop from several processes: one event loop sends fewer photographs a second than a GPU classifies. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { coreCount } from '../../src/cores.js';
import { sampleOf, watch, type Answer, type LoadSample } from '../observe.js';
import type { RunningServer } from '../server-process.js';

export interface ClientTask {
  readonly url: string;
  /** As it is served. */
  readonly model: string;
  /** Folder. */
  readonly photos: string;
  readonly clients: number;
  /** Index of the first. */
  readonly first: number;
}

export type ClientMessage =
  | { readonly kind: 'ready'; readonly usage: NodeJS.CpuUsage }
  | { readonly kind: 'answers'; readonly usage: NodeJS.CpuUsage; readonly answers: readonly Answer[] };

export interface CrowdSample {
  readonly sample: LoadSample;
  /** Processor seconds a second of all client processes. */
  readonly clientCores: number;
  readonly clientProcesses: number;
}

const CLIENT_FILE = fileURLToPath(new URL('./client.js', import.meta.url));

/** Clients that one process is enough for, and the part of the cores that have a process. */
const CLIENTS_OF_A_PROCESS = 16;
const CORES_OF_A_PROCESS = 4;
const RAMP_S = 0.5;

export function processesFor(clients: number, cores = coreCount()): number {
  return Math.max(1, Math.min(Math.ceil(clients / CLIENTS_OF_A_PROCESS), Math.floor(cores / CORES_OF_A_PROCESS)));
}

/** Every client sends the next photograph when it has its answer. Rejects if a client process dies. */
export async function crowdLoad(
  server: RunningServer,
  { model, photos, clients, seconds }: Pick<ClientTask, 'model' | 'photos' | 'clients'> & { readonly seconds: number },
): Promise<CrowdSample> {
  const clientProcesses = processesFor(clients);
  const shares = Array.from({ length: clientProcesses }, (_, index) => ({
    first: Math.floor((index * clients) / clientProcesses),
    end: Math.floor(((index + 1) * clients) / clientProcesses),
  }));
  const processes = shares.map(({ first, end }) => {
    const task: ClientTask = { url: server.url, model, photos, clients: end - first, first };
    return fork(CLIENT_FILE, [JSON.stringify(task)], { execArgv: [], serialization: 'advanced' });
  });
  try {
    const begun = await Promise.all(processes.map(nextMessage));
    const usedFrom = begun.map(({ usage }) => usage);
    const startedAt = performance.now();
    await sleep(RAMP_S * 1000);
    const window = await watch(server, () => sleep(seconds * 1000));
    const said = processes.map(nextMessage);
    for (const child of processes) child.send('stop');
    const ended = await Promise.all(said);
    const elapsedMicros = (performance.now() - startedAt) * 1000;
    const used = ended.map(({ usage }, index) => {
      const from = usedFrom[index]!;
      return usage.user + usage.system - from.user - from.system;
    });
    const answers = ended.flatMap((message) => (message.kind === 'answers' ? message.answers : []));
    const here = answers.map((answer) => ({ ...answer, at: answer.at - performance.timeOrigin }));
    return {
      sample: sampleOf(window, here),
      clientCores: used.reduce((sum, micros) => sum + micros, 0) / elapsedMicros,
      clientProcesses,
    };
  } finally {
    for (const child of processes) child.kill('SIGKILL');
  }
}

async function nextMessage(child: ChildProcess): Promise<ClientMessage> {
  const died = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`the clients' process ended with ${String(code ?? signal)}`);
  });
  const [message] = (await Promise.race([once(child, 'message'), died])) as [ClientMessage];
  died.catch(() => undefined);
  return message;
}
