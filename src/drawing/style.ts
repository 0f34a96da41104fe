/** How a picture looks, and how it leaves. Plain data, which travels to the process that draws. */
import type { Background } from '../images/decode.js';
import type { ColormapName } from '../maps/colormap.js';
import type { MapInterpolation } from '../maps/row-sampler.js';
import type { MapScores } from '../maps/scores.js';
import type { ValueRange } from '../maps/value-range.js';
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

/** What pictures have in common. */
export interface PictureLimits {
  /** Behind transparent pixels of the photo. */
  readonly background: Background;
  /** Pixels of a picture. */
  readonly maxPixels: number;
  /** Processor seconds that it takes, as estimated (plan-picture.ts). */
  readonly maxSeconds: number;
  /** Bytes that it takes, as estimated. */
  readonly maxBytes: number;
}

/** How a picture leaves the server. */
export interface Drawn extends PictureLimits {
  readonly format: PictureFormat;
}
