/**
 * HAProxy with deploy/balancers/haproxy.cfg, fed from a service's EndpointSlices through its runtime API, as an ingress controller
 * does. Only the lines that name addresses are other ones: a test cluster has no DNS.
 */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readyAddresses } from './kubernetes.js';
import { PROJECT, RUN, environment } from './tools.js';

const CONFIGURATION = join(PROJECT, 'deploy/balancers/haproxy.cfg');
const SLOTS = 10;
const POLL_MS = 250;

export interface Balancer {
  readonly url: string;
  stop(): Promise<void>;
}

/** At `address`, in front of the pods of `service`. */
export async function startBalancer(address: string, service: string): Promise<Balancer> {
  const socket = join(RUN, 'haproxy.sock');
  const file = join(RUN, 'haproxy.cfg');
  const lines = (await readFile(CONFIGURATION, 'utf8')).split('\n').map((line) => {
    if (line === 'global') return `global\n  stats socket ${socket} level admin`;
    if (line.trim().startsWith('bind ')) return `  bind ${address}`;
    if (line.trim().startsWith('server-template '))
      return `  server-template fullconv ${SLOTS} 0.0.0.0:8080 disabled init-addr none`;
    return line;
  });
  await writeFile(file, lines.join('\n'));
  const process = spawn('haproxy', ['-f', file, '-db'], {
    env: environment(),
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => process.on('exit', () => resolve()));
  const stopping = new AbortController();
  const slots = new Map<string, string>();
  const free = Array.from({ length: SLOTS }, (_, index) => `fullconv/fullconv${index + 1}`);

  async function follow(): Promise<void> {
    while (!stopping.signal.aborted) {
      const ready = await readyAddresses(service).catch(() => undefined);
      if (ready !== undefined) await apply(ready);
      await sleep(POLL_MS);
    }
  }

  async function apply(ready: ReadonlySet<string>): Promise<void> {
    for (const [pod, slot] of slots) {
      if (ready.has(pod)) continue;
      await command(socket, `set server ${slot} state maint`);
      slots.delete(pod);
      free.push(slot);
    }
    for (const pod of ready) {
      const slot = slots.has(pod) ? undefined : free.shift();
      if (slot === undefined) continue;
      await command(socket, `set server ${slot} addr ${pod} port 8080`);
      await command(socket, `set server ${slot} state ready`);
      slots.set(pod, slot);
    }
  }

  await untilListens(socket);
  const following = follow();
  return {
    url: `http://${address}`,
    async stop() {
      stopping.abort();
      await following;
      process.kill('SIGKILL');
      await ended;
    },
  };
}

async function untilListens(socket: string): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    if (
      await command(socket, 'show info').then(
        () => true,
        () => false,
      )
    )
      return;
    await sleep(100);
  }
  throw new Error('HAProxy does not start');
}

function command(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    const socket = connect(path, () => socket.end(`${line}\n`));
    socket.on('data', (part) => parts.push(part));
    socket.on('end', () => resolve(Buffer.concat(parts).toString()));
    socket.on('error', reject);
  });
}
