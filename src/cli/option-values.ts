/**
 * The values that options take: parsers, which throw InvalidArgumentError with what they expect, and options of a few
 * words.
 */
import { InvalidArgumentError, Option } from 'commander';
import { MAX_CLASSES } from '../classes/classes.js';
import type { OptionKind, OptionText } from '../experiments/options.js';
import { parseMoment } from '../keys/calendar.js';
import { SCOPES, type Scope } from '../keys/keys-file.js';
import { meaningsOf, wordsOf, type Vocabulary } from '../vocabulary.js';

export function positive(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError('It must be a positive number.');
  return value;
}

export function whole(text: string): number {
  const value = positive(text);
  if (!Number.isSafeInteger(value)) throw new InvalidArgumentError('It must be a whole number.');
  return value;
}

export function rank(text: string): number {
  const value = whole(text);
  if (value > MAX_CLASSES) throw new InvalidArgumentError(`It must be at most ${MAX_CLASSES}.`);
  return value;
}

export function notNegative(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new InvalidArgumentError('It must be a number of at least 0.');
  return value;
}

export function probability(text: string): number {
  const value = notNegative(text);
  if (value > 1) throw new InvalidArgumentError('It must be a number from 0 to 1.');
  return value;
}

/** A part that is neither nothing nor all: above 0 and below 1. */
export function part(text: string): number {
  const value = notNegative(text);
  if (value === 0 || value >= 1) throw new InvalidArgumentError('It must be a number above 0 and below 1.');
  return value;
}

/** A list of scopes of keys. */
export function scopes(text: string): Scope[] {
  const known = wordsOf(SCOPES);
  const given = partsOf(text);
  const unknown = given.find((word) => !known.some((scope) => scope === word));
  if (unknown !== undefined || given.length === 0) {
    throw new InvalidArgumentError(`It must be a list of ${known.join(', ')}, e.g. infer,models.`);
  }
  return [...new Set(given as Scope[])];
}

/** A day or a moment, as ISO 8601 has it in UTC. */
export function date(text: string): string {
  const moment = parseMoment(text);
  if (moment === undefined) throw new InvalidArgumentError('It must be a date, e.g. 2027-01-31.');
  return moment;
}

/** Seconds of `90s`, `15m`, `12h` or `30d`. */
export function duration(text: string): number {
  const [, count, unit] = /^(\d{1,7})([smhd])$/.exec(text) ?? [];
  const seconds = Number(count) * { s: 1, m: 60, h: 3600, d: 86_400 }[unit as 's' | 'm' | 'h' | 'd'];
  if (!(seconds > 0)) throw new InvalidArgumentError('It must be a time such as 90s, 15m, 12h or 30d.');
  return seconds;
}

/** Three numbers, one for each channel, or one for all. */
export function triple(text: string): [number, number, number] {
  const values = text.split(',').map((part) => (part.trim() === '' ? NaN : Number(part)));
  const [first = NaN, second = first, third = first] = values;
  if (![1, 3].includes(values.length) || !values.every(Number.isFinite)) {
    throw new InvalidArgumentError('It must be three numbers, e.g. 0.485,0.456,0.406, or one.');
  }
  return [first, second, third];
}

export const numbers = (text: string): number[] => text.split(',').map(positive);
export const wholes = (text: string): number[] => text.split(',').map(whole);
/** At least one word. */
export function words(text: string): string[] {
  const given = partsOf(text);
  if (given.length === 0) throw new InvalidArgumentError('It must be a name, or several as a,b.');
  return given;
}

const partsOf = (text: string): string[] => text.split(',').filter((part) => part !== '');

/** `name=value` beside those given before. A value is a number, true, false, or else a text. */
export function assignment(
  text: string,
  others: Readonly<Record<string, number | string | boolean>> = {},
): Readonly<Record<string, number | string | boolean>> {
  const [, name, value] = /^(\w+)=(.+)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('It must be name=value.');
  if (value === 'true' || value === 'false') return { ...others, [name]: value === 'true' };
  return { ...others, [name]: Number.isNaN(Number(value)) ? value : Number(value) };
}

export function address(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new InvalidArgumentError('It must be http://… or https://….');
  if (url.username !== '' || url.password !== '')
    throw new InvalidArgumentError('It must not hold a user name or a password.');
  return url;
}

/** An option that takes one of a few words. */
export class WordOption extends Option {
  constructor(
    flags: string,
    about: string,
    words: readonly string[],
    /** The meanings of some of the words. */
    readonly meanings: Partial<Vocabulary>,
  ) {
    super(flags, about);
    this.choices(words);
  }
}

/** An option that takes one of a few words. Its help lists them, with their meanings if `choices` is a vocabulary. */
export function oneOf<T extends string>(
  flags: string,
  about: string,
  choices: readonly T[] | Vocabulary<T>,
  standard?: T,
): Option {
  const option = isList(choices)
    ? new WordOption(flags, about, choices, {})
    : new WordOption(flags, `${about}. ${meaningsOf(choices)}`, wordsOf(choices), choices);
  return standard === undefined ? option : option.default(standard);
}

function isList<T extends string>(choices: readonly T[] | Vocabulary<T>): choices is readonly T[] {
  return Array.isArray(choices);
}

const READERS: Readonly<Record<OptionKind, (text: string) => unknown>> = {
  ...{ whole, wholes, number: positive, numbers, words },
  text: (text) => text,
};

/** An option of an experiment. */
export function experimentOption({ flags, about, kind }: OptionText): Option {
  return new Option(flags, about).argParser((text) => READERS[kind](text));
}
