/**
 * Folds blocks that repeat: of a run of equal blocks the first is kept, with their number.
 *
 * A block is what lies between two cuts. A cut is a place behind which one new value alone is needed; other values, as
 * a shortcut's around a whole stage (RoR), may pass by if they pass by both cuts. Two blocks are equal if their boxes say
 * the same and read the same. The sizes of their maps may differ, as in a dense block, and the constants in them, as the
 * falling scales of PolyNet.
 */
import type { Box } from './boxes.js';

/** Boxes `first` to `last` stand for `times` equal blocks. */
export interface Fold {
  readonly first: number;
  readonly last: number;
  readonly times: number;
}

export interface FoldedNet {
  readonly boxes: readonly Box[];
  readonly folds: readonly Fold[];
}

/** More values that pass by make no cut. */
const MAX_PASSING = 8;
/** Blocks of a run's period: two kinds of blocks that alternate have a period of 2. */
const MAX_PERIOD = 64;

/** Nets have blocks in stages in a net. */
const MAX_DEPTH = 12;

/** What is said of a cut: the values that pass by, in order; undefined where no cut is. */
type Passing = string | undefined;

/** Fold the runs of equal blocks, the outermost first. A fold has none inside it. */
export function foldRepeats(boxes: readonly Box[]): FoldedNet {
  const passing = cutsOf(boxes);
  const runs: Run[] = [];
  foldRange(boxes, passing, { first: 0, end: boxes.length, passed: '', depth: 0 }, runs);
  return collapse(boxes, runs);
}

/** Positions behind which one value alone is needed. */
export function soleCuts(boxes: readonly Box[]): number[] {
  return cutsOf(boxes).flatMap((passed, position) => (passed === '' ? [position] : []));
}

function cutsOf(boxes: readonly Box[]): Passing[] {
  const lastReader = boxes.map((_, position) => position);
  const readers = boxes.map(() => 0);
  for (const [position, { from }] of boxes.entries()) {
    for (const source of from) {
      lastReader[source] = position;
      readers[source]! += 1;
    }
  }
  const live = new Set<number>();
  return boxes.map(({ kind, from }, position) => {
    for (const source of from) if (lastReader[source] === position) live.delete(source);
    const others = live.size > MAX_PASSING ? undefined : [...live].join(',');
    if (lastReader[position]! > position) live.add(position);
    // The activation behind a sum is the end of its block.
    const next = boxes[position + 1];
    const goesOn =
      kind === 'join' && next?.kind === 'activation' && next.from[0] === position && readers[position] === 1;
    return goesOn ? undefined : others;
  });
}

interface Range {
  readonly first: number;
  readonly end: number;
  /** The values that pass by its cuts. */
  readonly passed: string;
  /** How often a range was cut inside another. */
  readonly depth: number;
}

interface Run {
  readonly first: number;
  /** Boxes of one block. */
  readonly size: number;
  readonly times: number;
}

function foldRange(boxes: readonly Box[], passing: readonly Passing[], range: Range, runs: Run[]): void {
  const { passed } = range;
  const starts = [range.first];
  for (let position = range.first; position < range.end; position += 1) {
    if (passing[position] === passed && position + 1 < range.end) starts.push(position + 1);
  }
  const ends = [...starts.slice(1), range.end];
  const keys = starts.map((start, index) => blockKey(boxes, start, ends[index]!));
  const haveJoins = starts.map((start, index) => boxes.slice(start, ends[index]).some(({ kind }) => kind === 'join'));
  const worthIt = passed === '' ? starts.map(() => true) : haveJoins;
  const best = (at: number): Run | undefined => longestRun({ keys, starts, ends, worthIt }, at);
  let at = 0;
  while (at < starts.length) {
    const [here, next] = [best(at), best(at + 1)];
    if (here !== undefined && saving(here) >= saving(next)) {
      runs.push(here);
      const end = here.first + here.size * here.times;
      while (at < starts.length && starts[at]! < end) at += 1;
      continue;
    }
    foldInside(boxes, passing, { first: starts[at]!, end: ends[at]!, depth: range.depth + 1 }, runs);
    at += 1;
  }
}

/** Folds what lies between two cuts, at the cuts that most of it has in common, as the blocks below a stage's shortcut. */
function foldInside(
  boxes: readonly Box[],
  passing: readonly Passing[],
  { first, end, depth }: Omit<Range, 'passed'>,
  runs: Run[],
): void {
  if (end - first <= 3 || depth > MAX_DEPTH) return;
  const spans = new Map<string, { readonly from: number; to: number }>();
  for (let position = first; position + 1 < end; position += 1) {
    const passed = passing[position];
    if (passed === undefined) continue;
    const span = spans.get(passed);
    if (span === undefined) spans.set(passed, { from: position, to: position });
    else span.to = position;
  }
  const [widest] = [...spans].sort(([, a], [, b]) => b.to - b.from - (a.to - a.from));
  if (widest === undefined || widest[1].to - widest[1].from < 2) return;
  const [passed, { from, to }] = widest;
  foldInside(boxes, passing, { first, end: from + 1, depth: depth + 1 }, runs);
  foldRange(boxes, passing, { first: from + 1, end: to + 1, passed, depth }, runs);
  foldInside(boxes, passing, { first: to + 1, end, depth: depth + 1 }, runs);
}

const saving = (run: Run | undefined): number => (run === undefined ? 0 : run.size * (run.times - 1));

/** What the boxes say and read, seen from the block. */
function blockKey(boxes: readonly Box[], start: number, end: number): string {
  const block = boxes.slice(start, end).map(({ kind, words, from }) => {
    return [
      kind,
      words.map(withoutConstant),
      from.map((source) => (source >= start - 1 ? source - start : `@${source}`)),
    ];
  });
  return JSON.stringify(block);
}

/** `× 0.5` is `×`. */
function withoutConstant(words: string): string {
  return CONSTANT.exec(words)?.[1] ?? words;
}

/** A sign and a number. */
const CONSTANT = /^([+−×÷]) (-?[\d.]+(?:e[+-]?\d+)?)$/;

interface Blocks {
  readonly keys: readonly string[];
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  /** Inside others only blocks with branches are worth folding. */
  readonly worthIt: readonly boolean[];
}

/** The run from a block on that saves most. */
function longestRun({ keys, starts, ends, worthIt }: Blocks, at: number): Run | undefined {
  let found: Run | undefined;
  let isWorthIt = false;
  for (let period = 1; period <= MAX_PERIOD && at + 2 * period <= keys.length; period += 1) {
    isWorthIt ||= worthIt[at + period - 1]!;
    if (!isWorthIt) continue;
    let equal = 0;
    while (at + period + equal < keys.length && keys[at + equal] === keys[at + period + equal]) equal += 1;
    const times = Math.floor(equal / period) + 1;
    if (times < 2) continue;
    const first = starts[at]!;
    const size = ends[at + period - 1]! - first;
    const run = { first, size, times };
    if (saving(run) > saving(found)) found = run;
  }
  return found;
}

/** The boxes without the repeats. Who read the last block reads the first. */
function collapse(boxes: readonly Box[], unordered: readonly Run[]): FoldedNet {
  const runs = [...unordered].sort((a, b) => a.first - b.first);
  const places: number[] = [];
  const kept: Box[] = [];
  const folds: Fold[] = [];
  let next = 0;
  for (let position = 0; position < boxes.length; position += 1) {
    while (next < runs.length && position >= endOf(runs[next]!)) next += 1;
    const run = runs[next];
    const isInRun = run !== undefined && position >= run.first;
    if (isInRun && position >= run.first + run.size) {
      places[position] = places[position - run.size]!;
      continue;
    }
    const box = boxes[position]!;
    const last = isInRun ? boxes[position + run.size * (run.times - 1)]! : box;
    if (position === run?.first) {
      folds.push({ first: kept.length, last: kept.length + run.size - 1, times: run.times });
    }
    places[position] = kept.length;
    kept.push({
      ...box,
      words: box.words.map((words, index) => spannedWords(words, last.words[index]!)),
      from: box.from.map((source) => places[source]!),
      shape: spannedShape(box.shape, last.shape),
    });
  }
  return { boxes: kept, folds };
}

const endOf = ({ first, size, times }: Run): number => first + size * times;

function spannedWords(first: string, last: string): string {
  return first === last ? first : `${first}…${CONSTANT.exec(last)?.[2] ?? ''}`;
}

function spannedShape(first: Box['shape'], last: Box['shape']): Box['shape'] {
  if (first === undefined || first.length !== last?.length) return undefined;
  return first.map((dim, axis) => (dim === last[axis] ? dim : `${dim}…${last[axis]!}`));
}
