/**
 * Query parameters: their kinds, as zod schemas that both validate and document, and their parser. A failure becomes an
 * INVALID_REQUEST that names each wrong parameter and what it takes.
 */
import { z } from 'zod';
import { ServiceError, type ParameterError } from '../errors.js';
import { meaningsOf, wordsOf, type Vocabulary } from '../vocabulary.js';

/** A zod object whose output is `Query`. */
export type QuerySchema<Query> = z.ZodType<Query> & { readonly shape: object };

/** A number in a range as programs write it, with or without an exponent: no hexadecimal, no empty text. */
export function number(minimum: number, maximum: number) {
  const error = `must be a number from ${minimum} to ${maximum}`;
  return decimal(z.number({ error }).min(minimum, { error }).max(maximum, { error }), /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i);
}

/** A whole number in a range: no exponent either. */
export function integer(minimum: number, maximum: number) {
  const error = `must be a whole number from ${minimum} to ${maximum}`;
  return decimal(z.int({ error }).min(minimum, { error }).max(maximum, { error }), /^-?\d+(\.\d+)?$/);
}

function decimal<T extends z.ZodType<number>>(schema: T, pattern: RegExp) {
  return z.preprocess((value) => (typeof value === 'string' && pattern.test(value) ? Number(value) : value), schema);
}

export const flag = z.preprocess(
  (value) => ['', '1', 'true'].includes(value as string) || (['0', 'false'].includes(value as string) ? false : value),
  z.boolean('must be true or false'),
);

/** One of a few words, described by what each means: `before. a: …; b: …; after`. */
export function oneOf<Word extends string>(vocabulary: Vocabulary<Word>, before = '', after = '') {
  const meanings = [meaningsOf(vocabulary), after].filter((text) => text !== '').join('; ');
  return z.enum(wordsOf(vocabulary)).describe(before === '' ? meanings : `${before}. ${meanings}`);
}

/** A list given as `a,b`, as a repeated parameter, or both. */
export function list<T extends z.ZodType>(item: T, maximum: number) {
  return z.preprocess(
    (value) => [value].flat().flatMap((part) => (typeof part === 'string' ? part.split(',') : part)),
    z.array(item).min(1).max(maximum),
  );
}

/** A list by repetition only: a class's label may contain a comma. */
export function repeated<T extends z.ZodType>(item: T, maximum: number) {
  return z.preprocess((value) => [value].flat(), z.array(item).min(1).max(maximum));
}

/** The same parameters, without the rules between them: for a query whose other parameters are still to come. */
export function withoutRules<Query>(schema: QuerySchema<Query>): QuerySchema<Query> {
  return z.strictObject(schema.shape as z.ZodRawShape) as unknown as QuerySchema<Query>;
}

/** Parse a query string. Throws INVALID_REQUEST with an entry for each wrong parameter. */
export function parseParameters<Query>(schema: QuerySchema<Query>, query: unknown): Query {
  const result = schema.safeParse(query);
  if (result.success) return result.data;
  throw invalidRequest(result.error, schema, query as Readonly<Record<string, unknown>>);
}

/** The most complaints in one answer: the first ones help; a thousand would make an answer larger than the request. */
const MAX_COMPLAINTS = 10;

/** A failed validation as INVALID_REQUEST: each complaint names a place and what it takes. */
function invalidRequest(
  { issues }: z.ZodError,
  { shape }: { readonly shape: object },
  query: Readonly<Record<string, unknown>>,
): ServiceError {
  const complaints = issues.slice(0, MAX_COMPLAINTS).flatMap((issue): ParameterError[] =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.slice(0, MAX_COMPLAINTS).map((key) => ({
          parameter: key.slice(0, 100),
          detail: `is not known here; known are ${Object.keys(shape).join(', ')}`,
        }))
      : [{ parameter: placeOf(issue.path), detail: isRepeated(issue, query) ? 'may be given once' : issue.message }],
  );
  return new ServiceError('INVALID_REQUEST', 'There are wrong parameters.', {
    errors: complaints.slice(0, MAX_COMPLAINTS),
  });
}

/** Whether the value of a parameter that is no list was given several times. */
function isRepeated({ path, ...issue }: z.core.$ZodIssue, query: Readonly<Record<string, unknown>>): boolean {
  const isOfList = 'origin' in issue && issue.origin === 'array';
  return path.length === 1 && !isOfList && Array.isArray(query[String(path[0])]);
}

/** `images[2].base64`; for a list in a query, the parameter's name. */
function placeOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((place, part, position) => {
    if (typeof part === 'number') return position === path.length - 1 ? place : `${place}[${part}]`;
    return place === '' ? String(part) : `${place}.${String(part)}`;
  }, '');
}
