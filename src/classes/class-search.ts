/**
 * Finds the classes that a typed text means, best first: by words in any order, beginnings and parts of words, plurals,
 * typing errors, ids and indices. Both the page's search and the nearest labels of an unknown class use it. Pure; a
 * search over 1,000 classes takes a few milliseconds.
 *
 * The cost of a class is the sum of the costs of the typed words. A typed word costs more the worse it fits, in this
 * order: whole, in the plural, begun, part of a word, mistyped, missing. Words of the label that were not typed cost a
 * little: `tiger` comes before `tiger cat`.
 */
import { distance } from 'fastest-levenshtein';
import { normalized } from './normalized.js';

export interface NamedClass {
  readonly id: string;
  readonly label: string;
}

export interface ClassSearch {
  /** Indices of the classes that fit, best first; all classes, in their order, if the text has no words. */
  matching(text: string): number[];
  /** Indices of `count` classes: those that fit, and then those whose names take the fewest edits. */
  nearest(text: string, count: number): number[];
}

/** The cost of a typed word. The edits of a mistyped word, at most three, are added to it. */
const COST = { whole: 0, inflected: 0.05, begun: 1, part: 2, mistyped: 3, missing: 8 } as const;
const COST_OF_A_MISTYPED_BEGINNING = 0.5;
/** People seldom mistype the first letter. */
const COST_OF_ANOTHER_FIRST_LETTER = 0.3;
const COST_OF_A_WORD_NOT_TYPED = 0.1;
/** Shorter words are parts and beginnings of too many others. */
const SHORTEST_PART = 3;
/** Texts longer than any label are cut, so that they cannot keep the server busy. */
const MAX_TEXT = 64;
const MAX_WORDS = 8;
/** Words that say nothing about a class. */
const FILLERS = new Set(['a', 'an', 'the', 'of', 'with', 'and']);
const FIRST_LETTER = 'a'.charCodeAt(0);

interface Word {
  /** Its place among the words of the labels; −1 for a typed word. */
  readonly at: number;
  readonly text: string;
  readonly singular: string;
  /** A bit for each letter of the Latin alphabet that it contains. */
  readonly letters: number;
}

/** One of the names that a label lists (`tabby, tabby cat`): its words, and all of them as one (`tabbycat`). */
interface Name {
  readonly words: readonly Word[];
  readonly joined: Word;
}

/** Prepare a search among classes; `matching` and `nearest` give their indices. */
export function createClassSearch(labels: readonly NamedClass[]): ClassSearch {
  const vocabulary = new Map<string, Word>();
  const known = (text: string): Word => {
    const word = vocabulary.get(text) ?? wordOf(text, vocabulary.size);
    vocabulary.set(text, word);
    return word;
  };
  const entries = labels.map(({ id, label }) => ({
    id: simplify(id),
    names: [...new Set([label, ...label.split(/, */)])].map((name): Name => {
      const words = splitWords(name);
      return { words: words.map(known), joined: known(words.join('')) };
    }),
  }));

  function matching(text: string): number[] {
    const typed = typedWords(text);
    if (typed.length === 0) return labels.map((_, index) => index);
    const prices = typed.map((word) => priceOf(wordOf(word), vocabulary.size));
    const together = typed.length > 1 ? priceOf(wordOf(typed.join('')), vocabulary.size) : undefined;
    const byIndex = indexOf(text, labels.length);
    const found: { index: number; cost: number }[] = [];
    for (const [index, { id, names }] of entries.entries()) {
      let cost = index === byIndex ? -1 : Infinity;
      for (const name of names) cost = Math.min(cost, costOfName(prices, name, id), costTogether(together, name));
      if (cost < Infinity) found.push({ index, cost });
    }
    return found.sort((a, b) => a.cost - b.cost).map(({ index }) => index);
  }

  let plain: readonly (readonly string[])[] | undefined;

  return {
    matching,
    nearest(text, count) {
      const found = matching(text).slice(0, count);
      if (found.length === count) return found;
      plain ??= labels.map(({ label }) => [label, ...label.split(/, */)].map(simplify));
      const wanted = simplify(text.slice(0, MAX_TEXT));
      const others = plain
        .map((names, index) => ({ index, edits: Math.min(...names.map((name) => distance(wanted, name))) }))
        .filter(({ index }) => !found.includes(index))
        .sort((a, b) => a.edits - b.edits);
      return [...found, ...others.slice(0, count - found.length).map(({ index }) => index)];
    },
  };
}

/** A unique name for each class: its label, with the id if another label is the same (`crane`). */
export function distinctNames(labels: readonly NamedClass[]): string[] {
  const counts = new Map<string, number>();
  for (const { label } of labels) counts.set(label.toLowerCase(), (counts.get(label.toLowerCase()) ?? 0) + 1);
  return labels.map(({ id, label }) => (counts.get(label.toLowerCase())! > 1 ? withId(label, id) : label));
}

export function withId(label: string, id: string): string {
  return `${label} (${id})`;
}

/** How a request names the class of an index: by its number, or as `index:3` where that is another class's label or id. */
export function referenceTo(index: number, labels: readonly NamedClass[]): string {
  const number = String(index);
  const isTaken = labels.some(({ id, label }, other) => other !== index && [id.trim(), label.trim()].includes(number));
  return isTaken ? `index:${number}` : number;
}

/** A typed word, and its cost in a word of a label. */
interface Price {
  readonly typed: Word;
  readonly inWord: (word: Word) => number;
}

/** Computed once for each word that labels have. */
function priceOf(typed: Word, vocabularySize: number): Price {
  const costs = new Float64Array(vocabularySize).fill(NaN);
  return {
    typed,
    inWord(word) {
      const known = costs[word.at]!;
      return Number.isNaN(known) ? (costs[word.at] = costOf(typed, word)) : known;
    },
  };
}

/**
 * The cost of the typed words in one name of a class; Infinity if they do not fit. Each typed word takes the word of
 * the name that fits it best, and no other may take that. If a typed word is missing, another must be certain: at least
 * begun, and not shorter than SHORTEST_PART.
 */
function costOfName(prices: readonly Price[], { words, joined }: Name, id: string): number {
  let cost = 0;
  let isSure = false;
  let isMissing = false;
  const used: Word[] = [];
  for (const { typed, inWord } of prices) {
    let best: number = id === typed.text ? COST.whole : isIdBegun(id, typed) ? COST.begun : COST.missing;
    let place: Word | undefined;
    for (const word of words) {
      const found = inWord(word);
      if (found >= best || used.includes(word)) continue;
      best = found;
      place = word;
    }
    const inOne = words.length > 1 ? inWord(joined) : COST.missing;
    if (inOne < best) {
      best = inOne;
      place = joined;
    }
    if (place !== undefined) used.push(place);
    if (best === COST.missing) isMissing = true;
    else if (best <= COST.begun && typed.text.length >= SHORTEST_PART) isSure = true;
    cost += best;
  }
  if (isMissing && !isSure) return Infinity;
  const left = used.length === 0 || used.includes(joined) ? 0 : words.length - used.length;
  return cost + left * COST_OF_A_WORD_NOT_TYPED;
}

/** The cost of all typed words joined (`fire boat`) in a word of the name, or in the joined name. */
function costTogether(price: Price | undefined, { words, joined }: Name): number {
  if (price === undefined) return Infinity;
  const cost = Math.min(price.inWord(joined), ...words.map(price.inWord));
  return cost <= COST.begun ? cost : Infinity;
}

/** Whether the text is the beginning of the id and has a digit: letters alone begin every id. */
function isIdBegun(id: string, { text }: Word): boolean {
  return /\d/.test(text) && id.startsWith(text);
}

function costOf(typed: Word, word: Word): number {
  if (typed.text === word.text) return COST.whole;
  if ([typed.text, typed.singular].some((form) => form === word.singular || form === word.text)) return COST.inflected;
  // The stem of a plural is the part before its ending.
  const stem = typed.text.startsWith(typed.singular) ? typed.singular : typed.text;
  if (word.text.startsWith(stem)) return COST.begun;
  if (stem.length >= SHORTEST_PART && word.text.includes(stem)) return COST.part;
  const { length } = stem;
  const allowed = allowedEdits(length);
  // Each letter that is not in the word takes an edit.
  if (allowed === 0 || word.text.length < length - allowed) return COST.missing;
  if (bitsOf(typed.letters & ~word.letters) > allowed + 1) return COST.missing;
  const first = word.text.startsWith(stem.charAt(0)) ? 0 : COST_OF_ANOTHER_FIRST_LETTER;
  const whole = edits(typed.singular, word.singular);
  if (whole <= allowed) return COST.mistyped + whole + first;
  // While the word is being typed: a mistyped beginning. A missing or an extra letter moves the rest by one.
  const begun = Math.min(...[-1, 0, 1].map((more) => edits(stem, word.text.slice(0, length + more))));
  return begun <= Math.min(allowed, 2) ? COST.mistyped + begun + COST_OF_A_MISTYPED_BEGINNING + first : COST.missing;
}

/** How many edits a word of that length may be away and still be meant. */
function allowedEdits(length: number): number {
  return length < 4 ? 0 : length < 7 ? 1 : length < 11 ? 2 : 3;
}

/** Levenshtein's distance, except that two swapped neighbours are one edit (`zebar`). */
function edits(typed: string, word: string): number {
  const found = distance(typed, word);
  if (found !== 2 || typed.length !== word.length) return found;
  let at = 0;
  while (typed[at] === word[at]) at++;
  const swapped = typed.slice(0, at) + typed.charAt(at + 1) + typed.charAt(at) + typed.slice(at + 2);
  return swapped === word ? 1 : found;
}

/** The index that a text of digits names; undefined if there is no such class. */
function indexOf(text: string, count: number): number | undefined {
  const wanted = text.trim();
  return /^\d+$/.test(wanted) && Number(wanted) < count ? Number(wanted) : undefined;
}

function typedWords(text: string): string[] {
  const words = splitWords(text.slice(0, MAX_TEXT));
  const telling = words.filter((word) => !FILLERS.has(word));
  return (telling.length > 0 ? telling : words).slice(0, MAX_WORDS);
}

function splitWords(text: string): string[] {
  return simplify(text).match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** Lower case, without accents and apostrophes. */
function simplify(text: string): string {
  return normalized(text.trim().toLowerCase(), 'NFD').replace(/[\p{M}'’]/gu, '');
}

function wordOf(text: string, at = -1): Word {
  let letters = 0;
  for (let i = 0; i < text.length; i++) {
    const letter = text.charCodeAt(i) - FIRST_LETTER;
    if (letter >= 0 && letter < 26) letters |= 1 << letter;
  }
  return { at, text, singular: singularOf(text), letters };
}

function bitsOf(letters: number): number {
  let count = 0;
  for (let left = letters; left !== 0; left &= left - 1) count++;
  return count;
}

/**
 * Undoes regular English plurals. Words that only look like one (`lens`) lose their s both in the text and in labels.
 */
function singularOf(word: string): string {
  if (word.length > 4 && word.endsWith('ies')) return `${word.slice(0, -3)}y`;
  if (word.length > 4 && word.endsWith('ves')) return `${word.slice(0, -3)}f`;
  if (word.length > 4 && /(s|x|z|ch|sh|o)es$/.test(word)) return word.slice(0, -2);
  if (word.length > 3 && /[^s]s$/.test(word)) return word.slice(0, -1);
  return word;
}
