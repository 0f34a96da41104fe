/** Asks a server (`--server URL`) the commands' questions, in place of a local engine. */
import type { ClassifyFlags, DrawnMap, HeatmapFlags, HeatmapSummary, SegmentFlags, SegmentSummary } from './answers.js';
import { createClient, type EncodedImage } from '../client/index.js';
import { SHEET_CLASSES, type PictureFormat } from '../drawing/words.js';
import type { Classification } from '../inference/classify.js';
import type { Answerer } from './files/answer-files.js';
import { createPace } from './server-pace.js';

/** The largest batch of a server with a GPU, and so twice what the batches of a small server hold. */
const REQUESTS_AT_ONCE = 32;

/** Passes of all these requests together: half of a server's default queue, so that other clients find room. */
const PASSES_AT_ONCE = 128;

const requestsAtOnce = ({ scale, flip = false }: { scale: readonly number[]; flip?: boolean }): number =>
  Math.max(1, Math.min(REQUESTS_AT_ONCE, Math.floor(PASSES_AT_ONCE / (scale.length * (flip ? 2 : 1)))));

/** A server, and the key to send; an empty one is none. */
export interface Remote {
  readonly url: URL;
  readonly apiKey: string;
}

export function remoteClassifier(server: Remote, flags: ClassifyFlags): Answerer<readonly Classification[]> {
  const { model, top: topK, fit, size, scale } = flags;
  const client = createClient(server.url, server);
  const query = { ...choose({ model, size, topK }), fit, scale: [...scale] };
  const atOnce = requestsAtOnce(flags);
  const pace = createPace(atOnce);
  return {
    atOnce,
    async answer({ name, bytes }, _, signal) {
      const { results } = await pace.ask(() => client.classify(asBody(bytes), query, { signal }), signal);
      return results.map(({ width = 0, height = 0, input, predictions = [] }) => ({
        name,
        width,
        height,
        input: input!,
        predictions: predictions.map(({ probability, logit: _, ...label }) => ({ ...label, score: probability! })),
      }));
    },
  };
}

export function remoteHeatmaps(
  server: Remote,
  flags: HeatmapFlags,
  format: PictureFormat,
): Answerer<DrawnMap<HeatmapSummary>> {
  const { model, size, outputStride, class: name, top, fit, scale, flip, edge, map, scores } = flags;
  const { render, colormap, range, opacity, legend, width } = flags;
  const chosen = choose({
    model,
    size,
    outputStride,
    top: top ?? (name === undefined && render === 'sheet' ? SHEET_CLASSES : undefined),
  });
  const query = {
    ...chosen,
    ...(name === undefined ? {} : { class: [name] }),
    ...{ fit, scale: [...scale], flip, edge },
    ...choose({ scores, map }),
  };
  const style = { render, colormap, opacity, legend, ...choose({ range, width }) };
  const client = createClient(server.url, server);
  const atOnce = requestsAtOnce(flags);
  const pace = createPace(atOnce);
  return {
    atOnce,
    async answer({ bytes }, _, signal) {
      const image = asBody(bytes);
      const [{ results }, picture] = await Promise.all([
        pace.ask(() => client.heatmap(image, query, { signal }), signal),
        pace.ask(() => client.heatmapFile(image, `image/${format}`, { ...query, ...style }, { signal }), signal),
      ]);
      const [{ map, classes } = {}] = results;
      const { label, id, peak, box, values } = classes![0]!;
      const { height, width: columns } = map!;
      return {
        picture: new Uint8Array(await picture.arrayBuffer()),
        map: { values: Float32Array.from(values.flat()), width: columns, height },
        summary: { class: label, id, peak, box: box && asBox(box), map: { width: columns, height } },
      };
    },
  };
}

export function remoteSegments(
  server: Remote,
  flags: SegmentFlags,
  format: PictureFormat,
): Answerer<DrawnMap<SegmentSummary>> {
  const { model, size, outputStride, fit, scale, flip, edge, map, minProbability, render, width } = flags;
  const query = { ...choose({ model, size, outputStride, map }), fit, scale: [...scale], flip, edge, minProbability };
  const client = createClient(server.url, server);
  const atOnce = requestsAtOnce(flags);
  const pace = createPace(atOnce);
  return {
    atOnce,
    async answer({ bytes }, _, signal) {
      const image = asBody(bytes);
      const drawing = { ...query, render, ...choose({ width }) };
      const [{ results }, picture] = await Promise.all([
        pace.ask(() => client.segment(image, query, { signal }), signal),
        pace.ask(() => client.segmentFile(image, `image/${format}`, drawing, { signal }), signal),
      ]);
      const [{ map, classes = [], unlabelled = 0 } = {}] = results;
      return {
        picture: new Uint8Array(await picture.arrayBuffer()),
        summary: {
          classes: classes.map(({ index, id, label, share, boxes, boxesLeftOut }) => ({
            index,
            id,
            label,
            share,
            boxes: boxes.map(asBox),
            ...choose({ boxesLeftOut }),
          })),
          unlabelled,
          map: { width: map!.width, height: map!.height },
        },
      };
    },
  };
}

function asBox({ x, y, width, height }: { x: number; y: number; width: number; height: number }) {
  return { left: x, top: y, width, height };
}

function asBody(bytes: Uint8Array): EncodedImage {
  return new Uint8Array(bytes);
}

/** Leaves out the flags that were not given: the server has their defaults. */
function choose<T extends object>(flags: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
