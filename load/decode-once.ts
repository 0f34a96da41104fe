/**
 * A process that decodes one image, or draws over it, for decode-cost.ts, and prints what that took as JSON: its peak of resident
 * memory beyond what it had before, processor seconds of all threads, and the estimate. It has done the same with a small image
 * of the same format first, so that libraries are loaded.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { decodeInput, decodePhoto } from '../src/images/decode.js';
import { inputDecodeCost, photoDecodeCost, type DecodeCost } from '../src/images/decode-cost.js';
import { draw } from '../src/drawing/draw.js';
import { planPicture, type Picture } from '../src/drawing/plan-picture.js';
import type { DrawJob } from '../src/drawing/studio.js';
import type { DrawingStyle } from '../src/drawing/style.js';
import type { PictureFormat } from '../src/drawing/words.js';
import { readImageHeader, type ImageHeader } from '../src/images/image-header.js';
import type { ImageHeatmaps } from '../src/inference/heatmap.js';
import type { Segmentation } from '../src/inference/segment.js';
import { planInput, type InputPlan } from '../src/maps/input-plan.js';
import { placeMap } from '../src/maps/place.js';

/**
 * `input`: what most models take of a photo. `photo`: all of it. Or a picture of the photo's size and its format: a map over it,
 * with its legend, a label map alone, or a sheet of four panels.
 */
export type Product = 'input' | 'photo' | `${'overlay' | 'legend' | 'palette' | 'sheet'}/${PictureFormat}`;

/** What the process prints. */
export interface Decoded {
  readonly measured: DecodeCost;
  readonly estimated: DecodeCost;
}

const BACKGROUND = { r: 255, g: 255, b: 255 };

async function make(bytes: Uint8Array, product: Product): Promise<DecodeCost> {
  const header = await readImageHeader(bytes, { maxPixels: Infinity });
  if (product === 'photo') {
    await decodePhoto(bytes, header, { background: BACKGROUND });
    return photoDecodeCost(header);
  }
  const plan = planInput(header, { fit: 'crop', size: 224, resize: 256, scale: 1 });
  if (product === 'input') {
    await decodeInput({ photo: { bytes, header }, input: plan, interpolation: 'bilinear', background: BACKGROUND });
    return inputDecodeCost(header, plan);
  }
  const { job, picture } = drawingOf(bytes, header, plan, product);
  await draw(job);
  return planPicture(header, picture, job.output).cost;
}

const [COLUMNS, ROWS] = [7, 7];
const GEOMETRY = { outputStride: 32, offset: 16 };

function drawingOf(
  bytes: Uint8Array,
  header: ImageHeader,
  plan: InputPlan,
  product: Exclude<Product, 'input' | 'photo'>,
): { readonly job: DrawJob; readonly picture: Picture } {
  const [shown, format] = product.split('/') as ['overlay' | 'legend' | 'palette' | 'sheet', PictureFormat];
  const limits = { maxPixels: Infinity, maxSeconds: Infinity, maxBytes: Infinity };
  const output = { format, background: BACKGROUND, ...limits };
  const placed = { header, plan, placement: placeMap(GEOMETRY, plan) };
  if (shown === 'palette') {
    const labels = {
      values: Uint16Array.from({ length: COLUMNS * ROWS }, (_, cell) => cell),
      width: COLUMNS,
      height: ROWS,
    };
    const style = { render: 'palette', alpha: 0.5 } as const;
    // A label map alone is drawn from nothing else.
    const image = { ...placed, labels, classes: [] } as unknown as Segmentation;
    return { job: { kind: 'labels', bytes, image, style, output }, picture: { kind: 'labels', style } };
  }
  const values = Float32Array.from({ length: COLUMNS * ROWS }, (_, cell) => cell / (COLUMNS * ROWS));
  const peak = { x: 0, y: 0, value: 1 };
  const drawn = { map: { values, width: COLUMNS, height: ROWS }, peak, label: 'a class' };
  const classes = Array.from({ length: shown === 'sheet' ? 3 : 1 }, () => drawn);
  const image = { ...placed, classes } as unknown as ImageHeatmaps;
  const style: DrawingStyle = {
    ...{ render: shown === 'sheet' ? 'sheet' : 'overlay', legend: shown === 'legend' },
    ...{ colormap: 'viridis', alpha: 0.5, opacity: 'constant', scores: 'probability', width: header.width },
  };
  return {
    job: { kind: 'heatmap', bytes, image, style, output },
    picture: { kind: 'heatmap', style, classes: classes.length },
  };
}

/** A figure of /proc/self/status, in bytes. */
async function memory(name: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile('/proc/self/status', 'utf8');
  return Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)![1]) * 1024;
}

const [file, small, product] = process.argv.slice(2) as [string, string, Product];
await make(await readFile(small), product);
const bytes = await readFile(file);
const before = await memory('VmRSS');
// The peak counts from here.
await writeFile('/proc/self/clear_refs', '5');
const start = process.cpuUsage();
const estimated = await make(bytes, product);
const { user, system } = process.cpuUsage(start);
const measured = { bytes: (await memory('VmHWM')) - before, seconds: (user + system) / 1e6 };
process.stdout.write(JSON.stringify({ measured, estimated } satisfies Decoded));
