/** Clients that send photographs, one after the other each, and hold every answer against the one that is right. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { percentile } from '../../load/statistics.js';
import { run } from './kubernetes.js';
import { PROJECT } from './tools.js';

export interface Photo {
  readonly name: string;
  readonly bytes: Buffer;
  /** The first class, and its probability. */
  readonly best: { readonly index: number; readonly probability: number };
}

export interface LoadReport {
  readonly answers: number;
  /** What was not answered with 200 and the right class, in words. */
  readonly faults: readonly string[];
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly longestMs: number;
}

export interface Load {
  /** Answers until now. */
  count(): number;
  /** Lets every client have its last answer. */
  stop(): Promise<LoadReport>;
}

/** Batches change the last digits of a probability. */
const TOLERANCE = 1e-3;
const TIMEOUT_MS = 60_000;

/** The photographs of a folder, with what the command line says of them without any server. */
export async function readPhotos(folder: string, model: string): Promise<Photo[]> {
  const names = (await readdir(folder)).filter((name) => /\.(jpe?g|png)$/i.test(name)).sort();
  const files = names.map((name) => join(folder, name));
  const program = join(PROJECT, 'dist/cli/fullconv.cjs');
  const settings = ['--engine', 'onnxruntime', '--device', 'cpu'];
  const printed = await run(process.execPath, [program, 'classify', '--json', '--model', model, ...settings, ...files]);
  const answers = JSON.parse(printed) as readonly {
    readonly predictions: readonly { readonly index: number; readonly score: number }[];
  }[];
  return Promise.all(
    files.map(async (file, position) => {
      const { index, score: probability } = answers[position]!.predictions[0]!;
      return { name: names[position]!, bytes: await readFile(file), best: { index, probability } };
    }),
  );
}

/** What is wrong with the answer to a photograph; undefined if nothing is. */
export function faultOf({ name, best }: Photo, status: number, text: string): string | undefined {
  if (status !== 200) return `${name}: ${status} ${text.slice(0, 200)}`;
  const { results } = JSON.parse(text) as { readonly results: readonly { readonly predictions: Photo['best'][] }[] };
  const first = results[0]?.predictions[0];
  const isRight = first?.index === best.index && Math.abs(first.probability - best.probability) < TOLERANCE;
  return isRight ? undefined : `${name}: class ${first?.index} with ${first?.probability}, not ${JSON.stringify(best)}`;
}

export function startLoad(url: string, photos: readonly Photo[], clients: number): Load {
  const agent = new Agent({ headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS, connections: clients });
  const latencies: number[] = [];
  const faults: string[] = [];
  let isStopping = false;

  async function ask(photo: Photo): Promise<void> {
    const start = performance.now();
    try {
      const { statusCode, body } = await request(`${url}/v1/classify`, {
        ...{ dispatcher: agent, method: 'POST', body: photo.bytes },
      });
      const fault = faultOf(photo, statusCode, await body.text());
      if (fault !== undefined) faults.push(fault);
    } catch (error) {
      faults.push(`${photo.name}: no answer, ${String(error)}`);
    }
    latencies.push(performance.now() - start);
  }

  async function client(first: number): Promise<void> {
    for (let next = first; !isStopping; next++) await ask(photos[next % photos.length]!);
  }

  const asking = Array.from({ length: clients }, (_, each) => client(Math.floor((each * photos.length) / clients)));
  return {
    count: () => latencies.length,
    async stop() {
      isStopping = true;
      await Promise.all(asking);
      await agent.close();
      const sorted = Float64Array.from(latencies).sort();
      return {
        answers: sorted.length,
        faults,
        p50Ms: percentile(sorted, 0.5),
        p99Ms: percentile(sorted, 0.99),
        longestMs: sorted.at(-1) ?? NaN,
      };
    },
  };
}
