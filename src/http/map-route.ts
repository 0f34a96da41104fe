/**
 * The routes that answer with maps: what both take, and the forms of their answers. A client chooses the form by
 * Accept. A picture or an array holds the map of one image, and headers describe it. JSON holds the maps of any number
 * of images.
 */
import type { z } from 'zod';
import { planPicture, type Picture } from '../drawing/plan-picture.js';
import type { DrawJob } from '../drawing/studio.js';
import type { Drawn } from '../drawing/style.js';
import { DEFAULT_ALPHA } from '../drawing/words.js';
import type { HeaderCheck } from '../inference/plan.js';
import { MAP_KINDS } from '../maps/map-kinds.js';
import { EDGES } from '../maps/edges.js';
import { FITS } from '../maps/input-plan.js';
import type { CompiledModel } from '../models/compile.js';
import { JSON_TYPE } from './answer.js';
import { CACHE_HEADERS } from './answer-once.js';
import type { ImageQuery, ImageQuestion, ImageRouteDefinition } from './image-request.js';
import { imageParameters, imageRoutes } from './image-route.js';
import { jsonWriter } from './json-text.js';
import { classesHeaders, MAP_HEADERS, mapHeaders, type DescribedMap } from './map-answer.js';
import { negotiate, pictureFormat, type MapMediaType } from './media-type.js';
import type { NpyFile } from './npy.js';
import { flag, integer, number, oneOf } from './parameters.js';
import type { RouteParts } from './parts.js';
import { MODEL_HEADERS, modelHeaders } from './request.js';
import type { Route } from './route.js';

/** Query parameters of both. */
export const mapParameters = {
  ...imageParameters,
  size: imageParameters.size.describe(
    "Pixels of the short side; absent: for fit=whole the model's maps.size if it has one, otherwise its input size",
  ),
  fit: oneOf(FITS).default('whole'),
  outputStride: integer(1, 1024)
    .optional()
    .describe("Input pixels between cells, one of the model's outputStrides; absent: the net's own, the coarsest"),
  edge: oneOf(EDGES).default('valid'),
  map: oneOf(MAP_KINDS, 'What a cell is', "default: the model's maps.map, or windows").optional(),
  tiles: flag
    .default(false)
    .describe(
      'Cut an input beyond the pixel limit into at most 16 overlapping tiles; the maps are those of the whole input',
    ),
  alpha: number(0, 1)
    .default(DEFAULT_ALPHA)
    .describe('Opacity of the map over the photo, for render=overlay and sheet'),
  width: integer(1, 16384).optional().describe("Width of the picture in pixels, aspect kept; absent: the photo's own"),
};

export interface MapQuestion<Query> extends ImageQuestion<Query> {
  readonly mediaType: MapMediaType;
  /** Refuses a photo of which no such picture can be drawn; undefined for other forms. */
  readonly checkHeader: HeaderCheck | undefined;
}

/** An answer in all its forms. Only the form asked for is made. */
export interface MapForms {
  /** Whether every image has a map. */
  readonly isWhole: boolean;
  /** As the route's schema says, with iterables in the place of large arrays (json-text.ts). */
  readonly json: () => object | Promise<object>;
  /** The map of the only image. If it had failed, the request would have failed. */
  readonly only: () => MapOfImage;
  /** Of the maps that the forms are made from, and of what `json` has made of them. */
  readonly bytes: () => number;
}

/** One image's map, for the forms that hold one. */
export interface MapOfImage extends DescribedMap {
  readonly npy: () => NpyFile;
  readonly picture: (output: Drawn) => DrawJob;
}

export interface MapRouteDefinition<Query> extends Omit<
  ImageRouteDefinition<Query>,
  'answers' | 'answer' | 'asked' | 'negotiate'
> {
  /** Of the answer, in its forms. */
  readonly description: string;
  /** Of the answer as JSON. */
  readonly schema: z.ZodType;
  /** Why a form cannot hold the answer for one image; undefined if it can. */
  readonly whyNot?: (type: MapMediaType, query: Query) => string | undefined;
  /** The picture that a query asks for. */
  readonly picture: (query: Query, model: CompiledModel) => Picture;
  readonly answer: (parts: RouteParts, question: MapQuestion<Query>) => Promise<MapForms>;
}

export function mapRoutes<Query extends ImageQuery>({
  description,
  schema,
  errors = [],
  whyNot,
  picture,
  answer,
  ...definition
}: MapRouteDefinition<Query>): readonly [Route, Route] {
  const content = {
    'image/png': {},
    'image/webp': {},
    'image/avif': {},
    'application/json': schema,
    'application/x-npy': {},
  } satisfies Record<MapMediaType, unknown>;
  const write = jsonWriter(schema);
  return imageRoutes<Query>({
    ...definition,
    answers: { 200: { description, headers: { ...MODEL_HEADERS, ...MAP_HEADERS, ...CACHE_HEADERS }, content } },
    errors: [...errors, 'NOT_ACCEPTABLE'],
    asked: 'maps',
    negotiate: (request, query, images) =>
      negotiate(request, (type) => {
        if (type === 'application/json') return undefined;
        return images > 1 ? 'holds one image' : whyNot?.(type, query);
      }),
    async answer(parts, question) {
      const { studio } = parts;
      const { query, context, model } = question;
      const mediaType = question.mediaType as MapMediaType;
      const format = pictureFormat(mediaType);
      const output = format === undefined ? undefined : studio.output(format);
      const checkHeader: HeaderCheck | undefined =
        output && ((header) => void planPicture(header, picture(query, model), output));
      const { isWhole, json, only, bytes } = await answer(parts, { ...question, mediaType, checkHeader });
      const ofModel = modelHeaders(model);
      if (mediaType === 'application/json') {
        const text = write(await json());
        const headers = { ...ofModel, 'content-type': JSON_TYPE };
        return { headers, body: { pieces: text, sourceBytes: bytes() }, isWhole, isTimed: true };
      }
      const image = only();
      const headers = {
        ...ofModel,
        ...mapHeaders(image),
        ...classesHeaders(image.classes),
        'content-type': mediaType,
      };
      if (output === undefined) {
        const file = image.npy();
        const body = { pieces: file.pieces(), sourceBytes: bytes() };
        return { headers: { ...headers, 'content-length': file.length }, body, isWhole, isTimed: false };
      }
      const body = await studio.draw(model, image.picture(output), context);
      return { headers, body, isWhole, isTimed: false };
    },
  });
}
