/**
 * The routes that answer with maps: what both take, and the forms of their answers. A client chooses the form by
 * Accept. A picture or an array holds the map of one image, and headers describe it. JSON holds the maps of any number
 * of images.
 */
import type { FastifyReply } from 'fastify';
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
import { imageParameters, imageRoute } from './image-route.js';
import type { ImageQuery, ImageQuestion, ImageRouteDefinition } from './image-route.js';
import { jsonWriter } from './json-text.js';
import { describeClasses, describeMap, MAP_HEADERS, type DescribedMap } from './map-answer.js';
import { negotiate, pictureFormat, type MapMediaType } from './media-type.js';
import type { NpyFile } from './npy.js';
import { flag, integer, number, oneOf } from './parameters.js';
import type { RouteParts } from './parts.js';
import { sendPieces } from './pieces.js';
import { describeModel, MODEL_HEADERS } from './request.js';
import type { Route } from './route.js';

/** As fastify writes it for an object. */
const JSON_TYPE = 'application/json; charset=utf-8';

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
  readonly model: CompiledModel;
  /** The form that the answer will have. */
  readonly mediaType: MapMediaType;
  /** Refuses a photo of which no such picture can be drawn; undefined for other forms. */
  readonly checkHeader: HeaderCheck | undefined;
}

/** An answer in all its forms. Only the form asked for is made. */
export interface MapForms {
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

export interface MapRouteDefinition<Query> extends Omit<ImageRouteDefinition<Query>, 'answers' | 'answer'> {
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

export function mapRoute<Query extends ImageQuery>({
  description,
  schema,
  errors = [],
  whyNot,
  picture,
  answer,
  ...definition
}: MapRouteDefinition<Query>): Route {
  const content = {
    'image/png': {},
    'image/webp': {},
    'image/avif': {},
    'application/json': schema,
    'application/x-npy': {},
  } satisfies Record<MapMediaType, unknown>;
  const write = jsonWriter(schema);
  return imageRoute<Query>({
    ...definition,
    answers: { 200: { description, headers: { ...MODEL_HEADERS, ...MAP_HEADERS }, content } },
    errors: [...errors, 'NOT_ACCEPTABLE'],
    async answer(parts, question) {
      const { registry, studio } = parts;
      const { request, reply, query, images, context, wait } = question;
      const mediaType = negotiate(request, (type) => {
        if (type === 'application/json') return undefined;
        return images.length > 1 ? 'holds one image' : whyNot?.(type, query);
      });
      const format = pictureFormat(mediaType);
      const output = format === undefined ? undefined : studio.output(format);
      const { model: name, version } = query;
      const answerBy = async (model: CompiledModel): Promise<() => FastifyReply> => {
        const checkHeader: HeaderCheck | undefined =
          output && ((header) => void planPicture(header, picture(query, model), output));
        const { json, only, bytes } = await answer(parts, { ...question, model, mediaType, checkHeader });
        describeModel(reply, model);
        if (mediaType === 'application/json') {
          const body = await json();
          return () => sendPieces(reply.type(JSON_TYPE), write(body), bytes());
        }
        const image = only();
        describeMap(reply, image);
        describeClasses(reply, image.classes);
        void reply.type(mediaType);
        if (output === undefined) {
          const file = image.npy();
          return () => sendPieces(reply.header('content-length', file.length), file.pieces(), bytes());
        }
        const drawn = await studio.draw(model, image.picture(output), context);
        return () => reply.send(drawn);
      };
      // The model is free again before the answer leaves: that may take as long as the client likes.
      const send = await registry.use(name, answerBy, { version, wait });
      return send();
    },
  });
}
