/** What strangers, operators and machines do to a server. Each action ends by itself within a few seconds. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp, { type Sharp } from 'sharp';
import { Agent, request } from 'undici';
import type { ImageInput } from '../../src/inference/infer.js';
import { processTree, type RunningServer } from '../server-process.js';
import type { Random } from './random.js';

export interface Surroundings {
  readonly server: RunningServer;
  /** Where the stranger's connections come from; the server shares its work by address. */
  readonly address: string;
  readonly photos: readonly ImageInput[];
  readonly random: Random;
}

export interface Action {
  readonly name: string;
  run(surroundings: Surroundings): Promise<void>;
}

/** One of the processes that decode, run or draw. */
async function victim({ server, random }: Surroundings): Promise<number | undefined> {
  const children = (await processTree(server.pid)).slice(1);
  return children.length === 0 ? undefined : random.pick(children);
}

function signalTo(signal: NodeJS.Signals): Action {
  return {
    name: `${signal} to a process`,
    async run(surroundings) {
      const pid = await victim(surroundings);
      if (pid !== undefined) process.kill(pid, signal);
    },
  };
}

const stopped: Action = {
  name: 'a process stops for 2 s',
  async run(surroundings) {
    const pid = await victim(surroundings);
    if (pid === undefined) return;
    process.kill(pid, 'SIGSTOP');
    await sleep(2000);
    process.kill(pid, 'SIGCONT');
  },
};

function open({ server, address }: Surroundings): Socket {
  const port = Number(new URL(server.url).port);
  return connect({ port, host: '127.0.0.1', localAddress: address }).on('error', () => undefined);
}

/** A connection that sends what it is given, and is dropped after some time. */
async function raw(surroundings: Surroundings, holdMs: number, work: (socket: Socket) => Promise<void>): Promise<void> {
  const socket = open(surroundings);
  socket.resume();
  try {
    await Promise.race([work(socket), sleep(holdMs)]);
  } finally {
    socket.destroy();
  }
}

const head = (path: string, length: number): string =>
  `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: ${length}\r\n\r\n`;

const slowBodies: Action = {
  name: 'sixteen bodies of a byte a second',
  async run(surroundings) {
    const one = (): Promise<void> =>
      raw(surroundings, 3000, async (socket) => {
        socket.write(head('/v1/classify', 32 * 2 ** 20));
        while (!socket.destroyed) {
          socket.write('x');
          await sleep(1000);
        }
      });
    await Promise.all(Array.from({ length: 16 }, one));
  },
};

const leavers: Action = {
  name: 'clients that leave in the middle',
  async run(surroundings) {
    const { photos, random } = surroundings;
    const one = (): Promise<void> => {
      const { bytes } = random.pick(photos);
      const sent = random.below(bytes.length);
      return raw(surroundings, random.between(1, 200), async (socket) => {
        socket.write(head(random.pick(['/v1/classify', '/v1/heatmap?scale=1,2&flip=true']), bytes.length));
        socket.write(random.next() < 0.5 ? bytes : bytes.subarray(0, sent));
        await sleep(1000);
      });
    };
    await Promise.all(Array.from({ length: 8 }, one));
  },
};

const silence: Action = {
  name: 'connections that say nothing',
  async run(surroundings) {
    await Promise.all(Array.from({ length: 30 }, () => raw(surroundings, 2000, () => sleep(2000))));
  },
};

const nonsense: Action = {
  name: 'bytes that are no HTTP',
  run: (surroundings) =>
    raw(surroundings, 500, async (socket) => {
      socket.write(surroundings.random.bytes(2000));
      await sleep(500);
    }),
};

const longHeaders: Action = {
  name: 'headers without end',
  run: (surroundings) =>
    raw(surroundings, 500, async (socket) => {
      socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(5000)}`);
      await sleep(500);
    }),
};

/** A connection each. */
async function post({ server, address }: Surroundings, path: string, body: Uint8Array, accept = '*/*'): Promise<void> {
  const dispatcher = new Agent({ localAddress: address });
  try {
    const answer = await request(`${server.url}${path}`, { method: 'POST', body, headers: { accept }, dispatcher });
    await answer.body.dump();
  } finally {
    await dispatcher.destroy();
  }
}

/** So many at once, however each ends. */
function atOnce(count: number, one: () => Promise<void>): Promise<unknown> {
  return Promise.allSettled(Array.from({ length: count }, one));
}

const burst: Action = {
  name: '200 requests at once',
  async run(surroundings) {
    const { photos, random } = surroundings;
    await atOnce(200, () => post(surroundings, '/v1/classify', random.pick(photos).bytes));
  },
};

const largeMaps: Action = {
  name: 'large maps',
  async run(surroundings) {
    const { photos, random } = surroundings;
    const path = '/v1/heatmap?size=1400&deadlineMs=4000';
    await atOnce(3, () => post(surroundings, path, random.pick(photos).bytes, 'application/x-npy'));
  },
};

const damaged: Action = {
  name: 'damaged photographs',
  async run(surroundings) {
    const { photos, random } = surroundings;
    await atOnce(10, () => {
      const bytes = Buffer.from(random.pick(photos).bytes);
      for (let flips = random.below(20); flips >= 0; flips--) bytes[random.below(bytes.length)] = random.below(256);
      const cut = random.next() < 0.3 ? bytes.subarray(0, random.below(bytes.length)) : bytes;
      return post(surroundings, random.pick(['/v1/classify', '/v1/heatmap?width=200']), cut);
    });
  },
};

const flat = (side: number): Sharp =>
  sharp({ create: { width: side, height: side, channels: 3, background: '#785a28' } });

/** Small files of many pixels, made once. */
const bombs = Promise.all([
  flat(7000).webp({ lossless: true, effort: 0 }).toBuffer(),
  flat(7000).png({ progressive: true }).toBuffer(),
  flat(7000).jpeg({ progressive: true }).toBuffer(),
]);

const manyPixels: Action = {
  name: 'small files of 49 megapixels',
  async run(surroundings) {
    const files = await bombs;
    await atOnce(4, () => post(surroundings, '/v1/classify?deadlineMs=6000', surroundings.random.pick(files)));
  },
};

const slowReaders: Action = {
  name: 'clients that do not read their answers',
  async run(surroundings) {
    const { bytes } = surroundings.random.pick(surroundings.photos);
    const sockets = Array.from({ length: 4 }, () => {
      const socket = open(surroundings);
      socket.pause();
      socket.write(head('/v1/heatmap?size=600', bytes.length));
      socket.write(bytes);
      return socket;
    });
    await sleep(3000);
    sockets.forEach((socket) => socket.destroy());
  },
};

/** What happens to processes. */
export const FAILURES: readonly Action[] = [signalTo('SIGKILL'), signalTo('SIGSEGV'), signalTo('SIGBUS'), stopped];

/** What clients do. */
export const STRANGERS: readonly Action[] = [
  slowBodies,
  leavers,
  silence,
  nonsense,
  longHeaders,
  burst,
  largeMaps,
  damaged,
  manyPixels,
  slowReaders,
];
