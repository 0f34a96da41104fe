/**
 * What the commands that ask about images may choose, and what they have to say of an answer: the words that the command
 * line, an engine of its own and a server's client have in common.
 */
import type { Drawing, LabelDrawing, Opacity } from '../drawing/words.js';
import type { ClassSegment } from '../inference/segment.js';
import type { ColormapName } from '../maps/colormap.js';
import type { Edge } from '../maps/edges.js';
import type { Fit } from '../maps/input-plan.js';
import type { Box, Peak } from '../maps/localize.js';
import type { ClassMap } from '../maps/row-sampler.js';
import type { MapScores } from '../maps/scores.js';
import type { ValueRange } from '../maps/value-range.js';
import type { OutputFlags } from './files/output-files.js';
import type { PictureChoice } from './terminal/picture-choices.js';

export interface ClassifyFlags {
  readonly model?: string;
  readonly top: number;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly server?: URL;
  readonly picture: PictureChoice;
  readonly json?: boolean;
}

/** A map as a picture, and what there is to say of it. */
export interface DrawnMap<Summary> {
  readonly picture: Uint8Array;
  /** For terminals without pictures; absent where the summary says as much. */
  readonly map?: ClassMap | undefined;
  readonly summary: Summary;
}

/** What every question for maps may choose, and how they are shown. */
export interface MapFlags {
  readonly model?: string;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly outputStride?: number;
  readonly edge: Edge;
  readonly width?: number;
  readonly server?: URL;
  readonly picture: PictureChoice;
  readonly json?: boolean;
}

export interface HeatmapFlags extends OutputFlags, MapFlags {
  readonly class?: string;
  /** Default: probabilities, and in a picture what the model says. */
  readonly scores?: MapScores;
  readonly render: Drawing;
  readonly colormap: ColormapName;
  readonly range?: ValueRange;
  readonly opacity: Opacity;
  readonly legend: boolean;
  readonly top?: number;
}

/** What there is to say of a heatmap besides its picture. */
export interface HeatmapSummary {
  readonly class: string;
  readonly id: string;
  readonly peak: Peak;
  /** Absent where nothing reaches the threshold. */
  readonly box?: Box | undefined;
  readonly map: { readonly width: number; readonly height: number };
}

export interface SegmentFlags extends OutputFlags, MapFlags {
  readonly minProbability: number;
  readonly render: LabelDrawing;
}

/** What there is to say of a label map besides its picture. */
export interface SegmentSummary {
  /** Of the classes that win somewhere, by share. */
  readonly classes: readonly ClassSegment[];
  /** Share of the cells that are unlabelled. */
  readonly unlabelled: number;
  readonly map: { readonly width: number; readonly height: number };
}
