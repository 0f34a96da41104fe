/** The page's settings as queries of the API, most defaults left out, and as the command that asks the same. Pure. */
import { referenceTo } from '../classes/class-search.js';
import { queryString, type ClassifyQuery, type HeatmapQuery, type ModelDetail } from '../client/index.js';
import type { ColormapName } from '../maps/colormap.js';
import type { Edge } from '../maps/edges.js';
import { shortSide, type Fit } from '../maps/input-plan.js';
import type { MapKind } from '../maps/map-kinds.js';
import type { MapInterpolation } from '../maps/row-sampler.js';
import type { ValueRange } from '../maps/value-range.js';

export interface Question {
  readonly model: ModelDetail;
  /** Without `native`: its scale would be relative to the photo's own pixels. */
  readonly fit: Exclude<Fit, 'native'>;
  /** Multiplier of the model's input size. */
  readonly scale: number;
  /** Multipliers of the scale that the map is averaged over. */
  readonly average: readonly number[];
  readonly flip: boolean;
  readonly outputStride: number | undefined;
  readonly edge: Edge;
  /** What a cell of the map is. undefined: the model's own kind. */
  readonly map: MapKind | undefined;
}

/** How a map is coloured. Nothing here changes what the network is asked. */
export interface MapStyle {
  readonly colormap: ColormapName;
  /** 0 to 1 */
  readonly opacity: number;
  readonly range: ValueRange;
  readonly interpolation: MapInterpolation;
}

/** The scales that the slider stops at; 1, 1.1, 1.5, 2, 3, 5 and 10 are those of the lecture. */
export const SCALES = [0.5, 0.6, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4, 5, 7, 10] as const;

/**
 * The most classes that are asked for: lines need those that fall behind, too. More than anyone looks at, but too few
 * to slow the answer down.
 */
const MAX_CLASSES = 1000;

export function classifyQuery({ model, fit, scale, flip }: Question): ClassifyQuery {
  return {
    model: model.name,
    fit,
    scale: [scale],
    ...(flip ? { flip } : {}),
    topK: Math.min(model.classes ?? 5, MAX_CLASSES),
  };
}

export function heatmapQuery(question: Question, classes: readonly number[]): HeatmapQuery {
  const { model, fit, scale, average, flip, outputStride, edge, map } = question;
  return {
    model: model.name,
    class: classes.map((index) => referenceTo(index, model.labels ?? [])),
    fit,
    ...sizeOfMaps(question),
    scale: average.map((factor) => Math.round(factor * scale * 1000) / 1000),
    ...(flip ? { flip } : {}),
    ...(outputStride === undefined ? {} : { outputStride }),
    ...(edge === 'valid' ? {} : { edge }),
    ...(map === undefined ? {} : { map }),
  };
}

/** The map must show the input that the classes were computed from, so a model's own size for maps is overridden. */
function sizeOfMaps({ model: { input, maps }, fit }: Question): HeatmapQuery {
  return fit === 'whole' && maps?.size !== undefined && input !== undefined ? { size: shortSide(input.size) } : {};
}

/** The kind of map that the model has where nobody says one, first of those that it has. */
export function ownMapKind({ maps, mapKinds = [] }: ModelDetail): MapKind | undefined {
  return maps?.map ?? mapKinds[0];
}

/** The query of a picture that looks as the page does. */
export function pictureQuery(question: Question, index: number, style: MapStyle): HeatmapQuery {
  const { colormap, opacity, range, interpolation } = style;
  // The page draws probabilities, whatever the model's pictures show.
  const scores = question.model.maps?.scores === undefined ? {} : ({ scores: 'probability' } as const);
  return { ...heatmapQuery(question, [index]), colormap, alpha: opacity, range, interpolation, ...scores };
}

/**
 * Two commands: one for the classes, one for the map of the class `index`. Without an index only the first. A key is a variable
 * of the shell in them.
 */
export function curlCommand(
  base: string,
  file: string,
  question: Question,
  index: number | undefined,
  style: MapStyle,
  hasKey: boolean,
): string {
  const key = hasKey ? '-H "Authorization: Bearer $FULLCONV_API_KEY" ' : '';
  const ask = (route: string, query: object): string =>
    `curl ${key}--data-binary ${quote(`@${file}`)} ${quote(base + route + queryString(query))}`;
  const topK = Math.min(question.model.classes ?? 5, 5);
  const classes = ask('v1/classify', { ...classifyQuery(question), topK });
  if (index === undefined) return classes;
  return `${classes}\n\n${ask('v1/heatmap', pictureQuery(question, index, style))} -o heatmap.png`;
}

/** Quotes a text as a word of a POSIX shell. */
function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
