/**
 * Pictures of maps, asked for: what is to be drawn is plain data, and processes of their own draw it (draw.ts), so that the
 * server's own process neither decodes nor encodes an image. Hides the wait for one of them, and what ends a drawing that
 * nobody waits for any more.
 */
import pLimit from 'p-limit';
import type { ImageHeatmaps } from '../inference/heatmap.js';
import { checkAlive, failureOf, waitWithin, type RequestContext } from '../inference/request-context.js';
import type { Segmentation } from '../inference/segment.js';
import type { PhaseObserver } from '../inference/timing.js';
import type { MapScores } from '../maps/scores.js';
import type { CompiledModel } from '../models/compile.js';
import type { Memory } from '../memory.js';
import { planPicture, type Picture } from './plan-picture.js';
import type { Drawn, DrawingStyle, LabelStyle, PictureLimits } from './style.js';
import type { Drawing, PictureFormat } from './words.js';

/** What a picture of the model's maps shows where nobody says; 16-bit values are numbers, not a picture. */
export function pictureScores({ manifest }: CompiledModel, drawing: Drawing): MapScores {
  return (drawing === 'gray16' ? undefined : manifest.maps?.scores) ?? 'probability';
}

/** A picture to be drawn: of the first class of heatmaps, or of all of them on a sheet; or of a label map. */
export type DrawJob = {
  /** The encoded photo. */
  readonly bytes: Uint8Array;
  readonly output: Drawn;
} & (
  | { readonly kind: 'heatmap'; readonly image: ImageHeatmaps; readonly style: DrawingStyle }
  | { readonly kind: 'labels'; readonly image: Segmentation; readonly style: LabelStyle }
);

/** Draws pictures. */
export interface Studio {
  /** How a picture leaves in a format. */
  output(format: PictureFormat): Drawn;
  /**
   * An encoded picture, when there is memory to draw it. Throws IMAGE_UNDECODABLE, IMAGE_TOO_LARGE, DEADLINE_EXCEEDED, WORKER_LOST, or the reason of the
   * context's signal.
   */
  draw(model: CompiledModel, job: DrawJob, context: RequestContext): Promise<Buffer>;
}

export interface StudioParts {
  /** Have a job done when a process is free. It is told when nobody waits any more, and may answer with so many bytes. */
  readonly drawElsewhere: (
    job: DrawJob,
    options: { readonly signal: AbortSignal; readonly maxAnswerBytes: number },
  ) => Promise<Uint8Array>;
  readonly memory: Pick<Memory, 'drawingBytes' | 'takeForDrawing'>;
  readonly limits: Omit<PictureLimits, 'maxBytes'>;
  /** Processes that draw. */
  readonly renderers: number;
  readonly observe: PhaseObserver;
}

/** The most bytes of an encoded picture: for each pixel, and for a legend and what a format adds. */
const BYTES_PER_PIXEL = 4;
const OTHER_BYTES = 2 ** 26;

/** A drawing of so many seconds is long. */
const LONG_SECONDS = 1;

export function createStudio({ drawElsewhere, memory, limits, renderers, observe }: StudioParts): Studio {
  // The others have one process left, where there are several.
  const long = pLimit(Math.max(1, renderers - 1));
  return {
    output: (format) => ({ ...limits, maxBytes: memory.drawingBytes, format }),
    async draw({ manifest }, job, context) {
      checkAlive(context);
      const { cost } = planPicture(job.image.header, pictureOf(job), job.output);
      const over = new AbortController();
      const started = performance.now();
      const trace = context.notes?.trace;
      const attributes = { 'fullconv.picture.format': job.output.format };
      // One that nobody waits for any more may keep its turn, but not its memory.
      let wanted: DrawJob | undefined = job;
      over.signal.addEventListener('abort', () => (wanted = undefined), { once: true });
      const drawing = async (): Promise<Uint8Array> => {
        over.signal.throwIfAborted();
        const giveBack = await memory.takeForDrawing(cost.bytes + bytesOf(wanted!), over.signal);
        try {
          // Between the memory and this line others have had their turn.
          over.signal.throwIfAborted();
          const maxAnswerBytes = BYTES_PER_PIXEL * wanted!.output.maxPixels + OTHER_BYTES;
          return await drawElsewhere(wanted!, { signal: over.signal, maxAnswerBytes });
        } finally {
          giveBack();
        }
      };
      try {
        const drawn = cost.seconds > LONG_SECONDS ? long(drawing) : drawing();
        const { buffer, byteOffset, byteLength } = await waitWithin(context, drawn);
        const ended = performance.now();
        observe('render', manifest.name, ended - started, trace?.traceId);
        trace?.phase({ name: 'render', startMs: started, endMs: ended, attributes });
        return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
      } catch (error) {
        over.abort(error);
        const failure = failureOf(error, context.signal);
        trace?.phase({ name: 'render', startMs: started, endMs: performance.now(), attributes, failure });
        throw error;
      }
    },
  };
}

function pictureOf(job: DrawJob): Picture {
  const { kind, style } = job;
  return kind === 'labels' ? { kind, style } : { kind, style, classes: job.image.classes.length };
}

/** What travels to the process that draws. */
function bytesOf(job: DrawJob): number {
  const maps = job.kind === 'labels' ? [job.image.labels] : job.image.classes.map(({ map }) => map);
  return maps.reduce((sum, { values }) => sum + values.byteLength, job.bytes.byteLength);
}
