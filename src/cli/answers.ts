/**
 * The options and answers of the commands that ask about images: classify, heatmap and segment. The command line fills
 * the options in. The local engine and a server's client (remote.ts) take the same options and give the same answers.
 * Types only.
 */
import type { Drawing, LabelDrawing, Opacity } from '../drawing/words.js';
import type { ClassSegment } from '../inference/segment.js';
import type { ColormapName } from '../maps/colormap.js';
import type { Edge } from '../maps/edges.js';
import type { MapKind } from '../maps/map-kinds.js';
import type { Fit } from '../maps/input-plan.js';
import type { Box, Peak } from '../maps/localize.js';
import type { ClassMap } from '../maps/row-sampler.js';
import type { MapScores } from '../maps/scores.js';
import type { ValueRange } from '../maps/value-range.js';
import type { OutputFlags } from './files/output-files.js';
import type { PictureChoice } from './terminal/picture-choices.js';

export interface ClassifyFlags {
  readonly model?: string;
  readonly top?: number | undefined;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly server?: URL;
  readonly picture: PictureChoice;
  readonly json?: boolean;
}

/** A map as an encoded picture, with its summary. */
export interface DrawnMap<Summary> {
  readonly picture: Uint8Array;
  /** For terminals without pictures. Absent if the summary says as much. */
  readonly map?: ClassMap | undefined;
  readonly summary: Summary;
}

/** The options of every command that answers with maps. */
export interface MapFlags {
  readonly model?: string;
  readonly fit: Fit;
  readonly size?: number;
  readonly scale: readonly number[];
  readonly flip: boolean;
  readonly outputStride?: number;
  readonly edge: Edge;
  readonly map?: MapKind | undefined;
  readonly width?: number;
  readonly server?: URL;
  readonly picture: PictureChoice;
  readonly json?: boolean;
}

export interface HeatmapFlags extends OutputFlags, MapFlags {
  readonly class?: string;
  /** Default: probabilities; in a picture, what the model's manifest says. */
  readonly scores?: MapScores;
  readonly render: Drawing;
  readonly colormap: ColormapName;
  readonly range?: ValueRange;
  readonly opacity: Opacity;
  readonly legend: boolean;
  readonly top?: number;
}

/** The facts of a heatmap that its line or JSON record tells. */
export interface HeatmapSummary {
  readonly class: string;
  readonly id: string;
  readonly peak: Peak;
  /** Absent if no value reaches the threshold. */
  readonly box?: Box | undefined;
  readonly map: { readonly width: number; readonly height: number };
}

export interface SegmentFlags extends OutputFlags, MapFlags {
  readonly minProbability: number;
  readonly render: LabelDrawing;
}

/** The facts of a label map that its line or JSON record tells. */
export interface SegmentSummary {
  /** The classes that win at least one cell, the largest share first. */
  readonly classes: readonly ClassSegment[];
  /** Share of the cells that are unlabelled. */
  readonly unlabelled: number;
  readonly map: { readonly width: number; readonly height: number };
}
