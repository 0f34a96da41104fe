/**
 * Pictures of maps, asked for: what is to be drawn is plain data, and processes of their own draw it (draw.ts), so that the
 * server's own process neither decodes nor encodes an image. Hides the wait for one of them, and what ends a drawing that
 * nobody waits for any more.
 */
import type { Background } from '../images/decode.js';
import type { ImageHeatmaps } from '../inference/heatmap.js';
import { checkAlive, waitWithin, type RequestContext } from '../inference/request-context.js';
import type { Segmentation } from '../inference/segment.js';
import type { PhaseObserver } from '../inference/timing.js';
import type { ColormapName } from '../maps/colormap.js';
import type { MapInterpolation } from '../maps/row-sampler.js';
import type { MapScores } from '../maps/scores.js';
import type { ValueRange } from '../maps/value-range.js';
import type { CompiledModel } from '../models/compile.js';
import type { Drawing, LabelDrawing, Opacity, PictureFormat } from './words.js';

export interface DrawingStyle {
  readonly render: Drawing;
  readonly colormap: ColormapName;
  readonly alpha: number;
  readonly opacity: Opacity;
  /** Absent: `bicubic` for contours, which would have corners, else `bilinear`. */
  readonly interpolation?: MapInterpolation | undefined;
  /** Absent: `minmax` for logits, which have no scale of their own, else `absolute`. */
  readonly range?: ValueRange | undefined;
  readonly scores: MapScores;
  /** Draw the bar of colours below the map. A sheet has it anyway. */
  readonly legend: boolean;
  /** Of the picture, in pixels; absent: the photo's own, a sheet's SHEET_WIDTH. */
  readonly width?: number | undefined;
}

export interface LabelStyle {
  readonly render: LabelDrawing;
  readonly alpha: number;
  /** Of the picture, in pixels; absent: the photo's own. */
  readonly width?: number | undefined;
}

/** What a picture of the model's maps shows where nobody says; 16-bit values are numbers, not a picture. */
export function pictureScores({ manifest }: CompiledModel, drawing: Drawing): MapScores {
  return (drawing === 'gray16' ? undefined : manifest.maps?.scores) ?? 'probability';
}

/** How a picture leaves the server. */
export interface Drawn {
  readonly format: PictureFormat;
  /** Behind transparent pixels of the photo. */
  readonly background: Background;
  /** Pixels of a picture. */
  readonly maxPixels: number;
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
  /**
   * An encoded picture. Throws IMAGE_UNDECODABLE, IMAGE_TOO_LARGE, DEADLINE_EXCEEDED, WORKER_LOST, or the reason of the
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
  readonly observe: PhaseObserver;
}

/** The most bytes of an encoded picture: for each pixel, and for a legend and what a format adds. */
const BYTES_PER_PIXEL = 4;
const OTHER_BYTES = 2 ** 26;

export function createStudio({ drawElsewhere, observe }: StudioParts): Studio {
  return {
    async draw({ manifest }, job, context) {
      checkAlive(context);
      const over = new AbortController();
      const started = performance.now();
      try {
        const maxAnswerBytes = BYTES_PER_PIXEL * job.output.maxPixels + OTHER_BYTES;
        const drawing = drawElsewhere(job, { signal: over.signal, maxAnswerBytes });
        const { buffer, byteOffset, byteLength } = await waitWithin(context, drawing);
        observe('render', manifest.name, performance.now() - started);
        return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
      } catch (error) {
        over.abort(error);
        throw error;
      }
    },
  };
}
