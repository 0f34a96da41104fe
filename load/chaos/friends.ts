/**
 * Clients that ask for what they may, and know the answer: it was asked before the trouble began. An answer must be that, or
 * an error that says to try again. Everything else is a fault.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, request } from 'undici';
import type { ImageInput } from '../../src/inference/infer.js';

interface Question {
  readonly name: string;
  readonly path: string;
  readonly accept: string;
  readonly photo: ImageInput;
}

interface Answered {
  readonly status: number;
  readonly body: Buffer;
}

export interface Latency {
  readonly ms: number;
  readonly beside: string;
}

export interface Friends {
  readonly seen: {
    /** The bystander's, and what strangers did at the time. */
    readonly latencies: readonly Latency[];
    /** By kind: `right`, or an error's code. */
    readonly answers: ReadonlyMap<string, number>;
  };
  /** Ask everything once, and let every kind of process start. Rejects when an answer is not the right one. */
  warmUp(): Promise<void>;
  /** Close every connection. */
  hangUp(): Promise<void>;
  /** Clients that ask as fast as they are answered, until it is over. */
  steady(count: number, isOver: () => boolean): Promise<void>[];
  /** A light client, at an address of its own: a small classification every 50 ms. */
  bystander(isOver: () => boolean, trouble: () => string): Promise<void>;
}

const PATHS: readonly (readonly [path: string, accept: string])[] = [
  ['/v1/classify?topK=3', 'application/json'],
  ['/v1/classify?scale=1,1.3&flip=true', 'application/json'],
  ['/v1/heatmap?top=2', 'application/json'],
  ['/v1/heatmap?size=448', 'application/x-npy'],
  ['/v1/heatmap?width=300', 'image/png'],
  ['/v1/segment?width=300', 'image/png'],
];

/** No stranger's address: those end at 201. */
const BYSTANDER = '127.0.0.250';

export async function createFriends(
  url: string,
  photos: readonly ImageInput[],
  onFault: (fault: string) => void,
): Promise<Friends> {
  const connect = (localAddress = '127.0.0.1'): Agent =>
    new Agent({ connections: 64, headersTimeout: 60_000, bodyTimeout: 60_000, localAddress });
  let agent = connect();
  const questions = photos
    .slice(0, 4)
    .flatMap((photo) =>
      PATHS.map(([path, accept]): Question => ({ name: `${path} ${photo.name}`, path, accept, photo })),
    );
  const right = new Map<string, Buffer>();
  const latencies: Latency[] = [];
  const answers = new Map<string, number>();
  const count = (kind: string): void => void answers.set(kind, (answers.get(kind) ?? 0) + 1);

  async function ask({ path, accept, photo }: Question, dispatcher = agent): Promise<Answered> {
    const { statusCode, body } = await request(`${url}${path}`, {
      method: 'POST',
      dispatcher,
      headers: { accept, 'content-type': 'image/jpeg' },
      body: photo.bytes,
    });
    return { status: statusCode, body: Buffer.from(await body.arrayBuffer()) };
  }

  /** A batch of another size rounds otherwise: numbers are compared to four digits, pictures by their length. */
  function same(a: Buffer, b: Buffer, accept: string): boolean {
    if (accept === 'application/json') return summary(a) === summary(b);
    return Math.abs(a.length - b.length) <= 0.02 * b.length;
  }

  function check(question: Question, { status, body }: Answered): void {
    if (status === 200) {
      if (same(body, right.get(question.name)!, question.accept)) count('right');
      else onFault(`${question.name}: a wrong answer`);
      return;
    }
    const { code = '?' } = asProblem(body);
    count(code);
    if (status !== 503 && status !== 504) onFault(`${question.name}: ${status} ${code}`);
  }

  async function askAndCheck(question: Question, dispatcher = agent): Promise<void> {
    try {
      check(question, await ask(question, dispatcher));
    } catch (error) {
      onFault(`${question.name}: ${(error as { code?: string }).code ?? String(error)}`);
    }
  }

  for (const question of questions) {
    const { status, body } = await ask(question);
    if (status !== 200) throw new Error(`${question.name}: ${status} ${body.toString()}`);
    right.set(question.name, body);
  }

  return {
    seen: { latencies, answers },
    async hangUp() {
      await agent.close();
      agent = connect();
    },
    async warmUp() {
      for (const question of questions) await askAndCheck(question);
    },
    steady: (clients, isOver) =>
      Array.from({ length: clients }, async (_, client) => {
        for (let turn = client; !isOver(); turn += 7) await askAndCheck(questions[turn % questions.length]!);
      }),
    async bystander(isOver, trouble) {
      const question = questions[0]!;
      const own = connect(BYSTANDER);
      while (!isOver()) {
        const started = performance.now();
        const before = trouble();
        await askAndCheck(question, own);
        const beside = [...new Set([before, trouble()])].join(', ');
        latencies.push({ ms: performance.now() - started, beside });
        await sleep(50);
      }
      await own.close();
    },
  };
}

function summary(body: Buffer): string {
  const { results } = JSON.parse(body.toString()) as { results: unknown[] };
  return JSON.stringify(results, (_, value: unknown) => (typeof value === 'number' ? value.toPrecision(3) : value));
}

function asProblem(body: Buffer): { code?: string } {
  try {
    return JSON.parse(body.toString()) as { code?: string };
  } catch {
    return {};
  }
}
