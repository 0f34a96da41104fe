/** The requests of a subject, its parts in equal shares. */
import { randomLcg } from 'd3-random';
import type { ImageInput } from '../src/inference/infer.js';
import type { Part, Subject } from './scenario.js';

export interface PreparedRequest {
  readonly method: 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** Images by the name of their size. */
export type ImagesBySize = ReadonlyMap<string, readonly ImageInput[]>;

export interface Traffic {
  /** The requests that a client of a closed loop repeats: equally many of each part. Each client begins with others. */
  forClient(index: number): PreparedRequest[];
  /** Requests at random, the same ones for the same seed. */
  random(count: number, seed: number): PreparedRequest[];
}

/** Each client of autocannon copies its requests: for 32 clients these are a few hundred megabytes at most. */
const REQUESTS_OF_A_CLIENT = 24;

export function trafficOf(parts: readonly Part[], view: Subject['view'], images: ImagesBySize): Traffic {
  return trafficFrom(
    parts.map(({ model, size }) => images.get(size)!.map(({ bytes }) => requestOf(view, model, bytes))),
  );
}

/** Traffic of prepared requests, a list for each part. */
export function trafficFrom(requests: readonly (readonly PreparedRequest[])[]): Traffic {
  return {
    forClient(index) {
      const each = Math.ceil(REQUESTS_OF_A_CLIENT / requests.length);
      const turns = Array.from({ length: each }, (_, turn) => index * each + turn);
      const random = randomLcg(index / REQUESTS_OF_A_CLIENT);
      return turns
        .flatMap((turn) => requests.map((own) => own[turn % own.length]!))
        .map((request) => ({ request, place: random() }))
        .sort((a, b) => a.place - b.place)
        .map(({ request }) => request);
    },
    random(count, seed) {
      const random = randomLcg(seed);
      const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
      return Array.from({ length: count }, () => pick(pick(requests)));
    },
  };
}

/** Heatmaps are asked for as arrays, so that no PNG is encoded. */
function requestOf(view: Subject['view'], model: string, bytes: Uint8Array): PreparedRequest {
  return {
    method: 'POST',
    path: `/v1/${view}?model=${encodeURIComponent(model)}`,
    headers: {
      'content-type': 'application/octet-stream',
      accept: view === 'classify' ? 'application/json' : 'application/x-npy',
    },
    body: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  };
}
