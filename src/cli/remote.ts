/** The commands that ask a server (`--server URL`) in place of an engine of their own. */
import pLimit from 'p-limit';
import { createClient, ProblemError, UnreachableError, type Client, type EncodedImage } from '../client/index.js';
import { OperatorError } from '../errors.js';
import type { PictureFormat } from '../inference/canvas.js';
import type { ClassifyFlags, ClassifiedFile } from './classify.js';
import type { DrawnHeatmap, HeatmapFlags } from './heatmap.js';
import { readImage } from './local-service.js';

/** Enough to keep a server busy, and no more files than that in memory. */
const REQUESTS_AT_ONCE = 16;

/** Classify files, each by a request of its own; the results of all are in the order of the files. */
export async function classifyRemotely(
  server: URL,
  files: readonly string[],
  { model, top: topK, fit, size, scale }: ClassifyFlags,
): Promise<ClassifiedFile[]> {
  const query = { ...choose({ model, size }), topK, fit, scale: [...scale] };
  const slots = pLimit(REQUESTS_AT_ONCE);
  try {
    const results = await slots.map(files, async (file) => {
      const { name, bytes } = await readImage(file);
      return askAbout(name, () => classifyOne(createClient(server), name, asBody(bytes), query));
    });
    return results.flat();
  } finally {
    slots.clearQueue();
  }
}

async function classifyOne(
  client: Client,
  name: string,
  image: EncodedImage,
  query: Parameters<Client['classify']>[1],
): Promise<ClassifiedFile[]> {
  const { results } = await client.classify(image, query);
  return results.map(({ width = 0, height = 0, input, predictions = [] }) => ({
    name,
    width,
    height,
    input: input!,
    predictions: predictions.map(({ probability, logit: _, ...label }) => ({ ...label, score: probability! })),
  }));
}

/** What the file is to blame for is its result; anything else ends the whole. */
async function askAbout(name: string, ask: () => Promise<ClassifiedFile[]>): Promise<ClassifiedFile[]> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof ProblemError && [413, 415, 422].includes(error.problem.status)) {
      return [{ name, problem: { message: error.message } }];
    }
    throw forTheTerminal(error);
  }
}

/** The picture of a heatmap, and what there is to say of it. */
export async function heatmapRemotely(
  server: URL,
  file: string,
  flags: HeatmapFlags,
  format: PictureFormat,
): Promise<DrawnHeatmap> {
  const { model, size, outputStride, class: name, top, fit, scale, flip, edge, scores } = flags;
  const { render, colormap, range, opacity, legend, width } = flags;
  const chosen = choose({
    model,
    size,
    outputStride,
    top: top ?? (name === undefined && render === 'sheet' ? 3 : undefined),
  });
  const query = {
    ...chosen,
    ...(name === undefined ? {} : { class: [name] }),
    ...{ fit, scale: [...scale], flip, edge, scores },
  };
  const style = { render, colormap, opacity, legend, ...choose({ range, width }) };
  const image = asBody((await readImage(file)).bytes);
  const client = createClient(server);
  try {
    const [{ results }, picture] = await Promise.all([
      client.heatmap(image, query),
      client.heatmapFile(image, `image/${format}`, { ...query, ...style }),
    ]);
    const [{ map, classes } = {}] = results;
    const { label, id, peak, box } = classes![0]!;
    return {
      picture: new Uint8Array(await picture.arrayBuffer()),
      summary: {
        class: label,
        id,
        peak,
        box: box && { left: box.x, top: box.y, width: box.width, height: box.height },
        map: { width: map!.width, height: map!.height },
      },
    };
  } catch (error) {
    throw forTheTerminal(error);
  }
}

function forTheTerminal(error: unknown): unknown {
  const isExpected = error instanceof ProblemError || error instanceof UnreachableError;
  return isExpected ? new OperatorError(error.message, { cause: error }) : error;
}

function asBody(bytes: Uint8Array): EncodedImage {
  return new Uint8Array(bytes);
}

/** What was chosen; what was not is the server's to choose. */
function choose<T extends object>(flags: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
