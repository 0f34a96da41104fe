/**
 * What `parameters` of a request may say: the protocol's own words, and the query parameters of `/v1` that there are for what is
 * asked.
 *
 * Source: Open Inference Protocol, "Inference Request"; Triton, "Schedule Policy Extension".
 */
import { z } from 'zod';
import { MAX_CLASSES } from '../../classes/classes.js';
import { FITS } from '../../maps/input-plan.js';
import { SCORES, MAP_SCORES } from '../../maps/scores.js';
import { imageParameters } from '../image-route.js';
import { mapParameters } from '../map-route.js';
import { integer, number, oneOf, parseParameters, repeated } from '../parameters.js';
import { faultAt } from './faults.js';
import type { Parameters } from './infer-body.js';

/** The protocol's levels: 0 is the default, 1 the highest, and larger ones are lower. `/v1` has −100 to 100, the highest. */
const HIGHEST_PRIORITY = 100;
const LOWEST_LEVEL = 201;

const ofTheProtocol = {
  binary_data_output: z.boolean('must be true or false').optional(),
  priority: integer(0, 2 ** 53 - 1).default(0),
  timeout: number(0, 3_600_000_000).default(0).describe('Microseconds; 0: the longest that the server allows'),
  sequence_id: z.union([z.literal(0), z.literal('')], 'must be 0: there are no sequences').optional(),
  sequence_start: z.boolean().optional(),
  sequence_end: z.boolean().optional(),
  headers: z.unknown().optional(),
};

const { size, flip } = imageParameters;
const scale = number(0.05, 20).default(1);

const scoresQuery = z.strictObject({
  ...ofTheProtocol,
  ...{ size, flip, scale },
  fit: oneOf(FITS).optional(),
  scores: oneOf(SCORES).default('probability'),
});

const { outputStride, edge, map, tiles, scale: scales } = mapParameters;
/** An index may be a number. */
const className = z.preprocess((value) => (typeof value === 'number' ? String(value) : value), z.string().min(1));

const mapsQuery = z.strictObject({
  ...ofTheProtocol,
  ...{ size, flip, scale: scales, outputStride, edge, map, tiles },
  fit: oneOf(FITS).optional(),
  scores: oneOf(MAP_SCORES).default('probability'),
  class: repeated(className, MAX_CLASSES).optional(),
  top: integer(1, MAX_CLASSES).optional(),
});

export type ScoresParameters = z.output<typeof scoresQuery>;
export type MapsParameters = z.output<typeof mapsQuery>;

/** Of what is asked: without the protocol's own words, which decide no number. */
export function withoutProtocol(parameters: ScoresParameters | MapsParameters): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(parameters).filter(([name]) => !(name in ofTheProtocol)));
}

/** Throw INVALID_REQUEST that names each wrong parameter. */
export function scoresParameters(parameters: Parameters): ScoresParameters {
  refuseReserved(parameters);
  return parseParameters(scoresQuery, parameters);
}

export function mapsParameters(parameters: Parameters): MapsParameters {
  refuseReserved(parameters);
  return parseParameters(mapsQuery, parameters);
}

function refuseReserved(parameters: Parameters): void {
  const reserved = Object.keys(parameters).find((key) => key.startsWith('triton_'));
  if (reserved !== undefined) throw faultAt(`parameters.${reserved}`, 'is reserved');
}

/** When and how soon, as `/v1` says it. */
export function urgencyOf({ priority, timeout }: Pick<ScoresParameters, 'priority' | 'timeout'>): {
  readonly priority: number;
  readonly deadlineMs: number | undefined;
} {
  return {
    priority: priority === 0 ? 0 : HIGHEST_PRIORITY + 1 - Math.min(priority, LOWEST_LEVEL),
    deadlineMs: timeout === 0 ? undefined : timeout / 1000,
  };
}
