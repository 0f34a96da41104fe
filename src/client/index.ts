/**
 * A client of the server for browsers and Node, without dependencies: `fetch` behind the types that are generated from
 * the OpenAPI document (api-types.ts). One image goes in as the raw body, several as parts of a form. A refusal by the
 * server throws a ProblemError; a missing or broken answer throws an UnreachableError.
 */
import type { components, operations } from './api-types.js';

type Schemas = components['schemas'];
type Query<Name extends 'classify' | 'heatmap' | 'segment'> = NonNullable<operations[Name]['parameters']['query']>;

export type Classification = Schemas['Classification'];
export type Heatmaps = Schemas['Heatmaps'];
export type Segmentation = Schemas['Segmentation'];
export type Model = Schemas['Model'];
export type ModelDetail = Schemas['ModelDetail'];
export type Problem = Schemas['Problem'];
export type Timing = Schemas['Timing'];
export type ClassifyQuery = Query<'classify'>;
export type HeatmapQuery = Query<'heatmap'>;
export type SegmentQuery = Query<'segment'>;

/** An encoded image, in any of the formats that the server takes. */
export type EncodedImage = Blob | Uint8Array<ArrayBuffer>;

export interface NamedImage {
  readonly name: string;
  readonly image: EncodedImage;
}

export interface CallOptions {
  /** Aborts the call, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

export interface ClientOptions {
  /** Sent with each call, in a header. A function is asked at each call, so that the key may come later or change. */
  readonly apiKey?: string | (() => string | undefined) | undefined;
}

/** The media types of a map other than JSON. */
export type BinaryForm = 'image/png' | 'image/webp' | 'image/avif' | 'application/x-npy';

/**
 * The calls. Each rejects with ProblemError if the server refuses, with UnreachableError if no sound answer comes, and
 * with the reason of `call.signal` if that aborts. Several images are one request; an image that fails has a `problem`
 * in its result.
 */
export interface Client {
  /**
   * The best classes of images. `results` has an entry for each image and scale.
   *
   * @example
   * const { results } = await client.classify(await openAsBlob('photo.jpg'), { topK: 3 });
   * for (const { label, probability } of results[0].predictions) console.log(label, probability);
   */
  classify(
    images: EncodedImage | readonly NamedImage[],
    query?: ClassifyQuery,
    call?: CallOptions,
  ): Promise<Classification>;
  /**
   * The class maps of images as numbers: `values[row][column]` of each class.
   *
   * @example
   * const { results } = await client.heatmap(photo, { class: ['espresso'] });
   * const { peak, values } = results[0].classes[0];
   */
  heatmap(images: EncodedImage | readonly NamedImage[], query?: HeatmapQuery, call?: CallOptions): Promise<Heatmaps>;
  /**
   * The heatmap as a file: a picture of one class, or the values of all as an array (NPY).
   *
   * @example
   * const picture = await client.heatmapFile(photo, 'image/png', { class: ['espresso'] });
   * await writeFile('heatmap.png', picture.stream());
   */
  heatmapFile(image: EncodedImage, form: BinaryForm, query?: HeatmapQuery, call?: CallOptions): Promise<Blob>;
  /**
   * The classes that win somewhere in images, each with its share of the positions and its boxes.
   *
   * @example
   * const { results } = await client.segment(photo, { minProbability: 0.2 });
   * for (const { label, share } of results[0].classes) console.log(label, share);
   */
  segment(
    images: EncodedImage | readonly NamedImage[],
    query?: SegmentQuery,
    call?: CallOptions,
  ): Promise<Segmentation>;
  /**
   * The label map as a file: a picture, or the class indices as an array (NPY).
   *
   * @example
   * const picture = await client.segmentFile(photo, 'image/png', { render: 'overlay' });
   */
  segmentFile(image: EncodedImage, form: BinaryForm, query?: SegmentQuery, call?: CallOptions): Promise<Blob>;
  /**
   * The models of the server, also those that are not ready.
   *
   * @example
   * const ready = (await client.models()).filter(({ state }) => state === 'ready');
   */
  models(call?: CallOptions): Promise<readonly Model[]>;
  /**
   * One model with its input, labels and output strides.
   *
   * @example
   * const { labels, outputStrides } = await client.model('imagenet-efficientnet-lite0');
   */
  model(name: string, call?: CallOptions): Promise<ModelDetail>;
}

/**
 * The server refused the request; `problem` says why (RFC 9457). The message is its detail with every wrong parameter.
 */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';

  constructor(
    readonly problem: Problem,
    /** Seconds after which the same request may succeed; undefined if the server names none. */
    readonly retryAfterS?: number,
  ) {
    const parameters = problem.errors?.map(({ parameter, detail }) => ` ${parameter}: ${detail}.`) ?? [];
    super(problem.detail + parameters.join(''));
  }
}

/** There is no answer, it is broken, or it does not come from fullconv. */
export class UnreachableError extends Error {
  override readonly name = 'UnreachableError';
}

/**
 * A client of the server at `base`, which may have a path, as behind a proxy. Nothing is sent before the first call.
 *
 * @example
 * const client = createClient('https://images.example.com', { apiKey: process.env.FULLCONV_API_KEY });
 * try {
 *   await client.heatmap(photo, { class: ['espresso'] });
 * } catch (error) {
 *   if (error instanceof ProblemError) console.log(error.problem.code);
 * }
 */
export function createClient(base: string | URL, { apiKey }: ClientOptions = {}): Client {
  async function send(path: string, request: Sent, call: CallOptions = {}): Promise<Response> {
    const { signal } = call;
    const url = addressOf(base, path);
    const headers = { ...request.headers, ...authorization(typeof apiKey === 'function' ? apiKey() : apiKey) };
    const response = await fetch(url, { ...request, headers, ...(signal === undefined ? {} : { signal }) }).catch(
      (error: unknown) => {
        signal?.throwIfAborted();
        throw new UnreachableError(`There is no answer from ${url.origin}.`, { cause: error });
      },
    );
    if (!response.ok) throw await refusalOf(response, call);
    return response;
  }
  const read = async <T>(path: string, call?: CallOptions): Promise<T> =>
    jsonOf(await send(path, { headers: { accept: 'application/json' } }, call), call);
  const ask = (
    route: string,
    images: EncodedImage | readonly NamedImage[],
    accept: string,
    query: object = {},
    call?: CallOptions,
  ): Promise<Response> =>
    send(`${route}${queryString(query)}`, { method: 'POST', headers: { accept }, body: bodyOf(images) }, call);
  const askJson = async <T>(...[route, images, query, call]: AskArguments): Promise<T> =>
    jsonOf(await ask(route, images, 'application/json', query, call), call);

  return {
    classify: (...rest) => askJson('v1/classify', ...rest),
    heatmap: (...rest) => askJson('v1/heatmap', ...rest),
    segment: (...rest) => askJson('v1/segment', ...rest),
    heatmapFile: async (image, form, query, call) => fileOf(await ask('v1/heatmap', image, form, query, call), call),
    segmentFile: async (image, form, query, call) => fileOf(await ask('v1/segment', image, form, query, call), call),
    models: async (call) => (await read<Schemas['Models']>('v1/models', call)).models,
    model: (name, call) => read(`v1/models/${encodeURIComponent(name)}`, call),
  };
}

/** What is sent, but for the address and the key. */
interface Sent {
  readonly method?: 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: EncodedImage | FormData;
}

function authorization(key: string | undefined): Readonly<Record<string, string>> {
  return key === undefined || key === '' ? {} : { authorization: `Bearer ${key}` };
}

type AskArguments = [route: string, images: EncodedImage | readonly NamedImage[], query?: object, call?: CallOptions];

type QueryValue = string | number | boolean | undefined;

/**
 * `?name=value&…`: a list repeats its name, undefined values are left out. Empty if no parameter is left.
 *
 * @example
 * queryString({ scale: [1, 1.5], size: undefined }); // '?scale=1&scale=1.5'
 */
export function queryString(query: object): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query) as [string, QueryValue | QueryValue[]][]) {
    for (const item of [value].flat()) if (item !== undefined) parameters.append(name, String(item));
  }
  return parameters.size === 0 ? '' : `?${parameters.toString()}`;
}

/** The URL of a path below the server's address, which may itself have a path, as behind a proxy. */
function addressOf(base: string | URL, path: string): URL {
  const root = new URL(base);
  if (!root.pathname.endsWith('/')) root.pathname += '/';
  return new URL(path, root);
}

function bodyOf(images: EncodedImage | readonly NamedImage[]): EncodedImage | FormData {
  if (images instanceof Blob || images instanceof Uint8Array) return images;
  const form = new FormData();
  for (const { name, image } of images) form.append('image', new Blob([image]), name);
  return form;
}

async function jsonOf<T>(response: Response, call?: CallOptions): Promise<T> {
  return response.json().catch((error: unknown) => brokenOff(response, error, call)) as Promise<T>;
}

async function fileOf(response: Response, call?: CallOptions): Promise<Blob> {
  return response.blob().catch((error: unknown) => brokenOff(response, error, call));
}

/** Throws for a body that ends early, or is not what its headers say. */
function brokenOff({ url }: Response, cause: unknown, { signal }: CallOptions = {}): never {
  signal?.throwIfAborted();
  throw new UnreachableError(`The answer from ${new URL(url).origin} is broken.`, { cause });
}

async function refusalOf(response: Response, call?: CallOptions): Promise<Error> {
  if (response.headers.get('content-type')?.startsWith('application/problem+json')) {
    const retryAfter = response.headers.get('retry-after') ?? '';
    const seconds = /^\d+$/.test(retryAfter) ? Number(retryAfter) : undefined;
    return new ProblemError(await jsonOf<Problem>(response, call), seconds);
  }
  return new UnreachableError(
    `${new URL(response.url).origin} answers with status ${response.status}, but not as fullconv does.`,
  );
}
