/**
 * How much a path through a residual net contributes, by its length, without gradients. Veit 2016 (§5.2) sends a gradient
 * back along single paths; here a small random change goes forward along one, and its size at the logits is measured:
 *
 *   v ← the branch's derivative in the direction of v     in a block that the path goes through
 *   v ← the shortcut's derivative in the direction of v   in a block that it skips
 *   v ← v where what stands behind the join is positive, else 0
 *
 * A derivative is the difference of two runs of that part alone, (F(x + ε·v/|v|) − F(x))·|v|/ε, at the x that the whole net
 * has there for the image.
 */
import pLimit from 'p-limit';
import { readImage } from '../evaluation/image-file.js';
import { applyPasses } from '../graph/pass.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { tapValues } from '../graph/passes/tap-values.js';
import type { ResidualBlock } from '../graph/residual-blocks.js';
import { producersOf } from '../graph/rewrite.js';
import { expectTensor } from '../tensor.js';
import { direction, oneOf, shuffled } from './chance.js';
import { runsAtOnce } from './examine.js';
import type { Lab } from './lab.js';
import { openPart } from './part-session.js';
import type { Subject } from './subject.js';

export interface PathNormOptions {
  /** Files of the images. */
  readonly files: readonly string[];
  /** Random paths of each length, for each image. */
  readonly draws: number;
  /** Called after each path. */
  readonly onPath?: () => void;
}

/** The size of a change, in parts of the size of what it changes. A larger one is no derivative, a smaller one rounding. */
const STEP = 1e-3;

/**
 * For each length from 0 to the number of blocks: the natural logarithm of the norm at the logits of a change that had
 * norm 1, mean over images and paths; −∞ where it dies out. The blocks must stand one behind the other: GraphError where
 * one depends on more than the block before.
 */
export async function measurePathNorms(
  lab: Lab,
  subject: Subject,
  blocks: readonly ResidualBlock[],
  { files, draws, onPath = () => undefined }: PathNormOptions,
): Promise<readonly number[]> {
  const { network } = subject;
  const values = [...new Set(blocks.flatMap(({ start, join }) => [start, join.outputs[0]!]))];
  const whole = await subject.open(applyPasses(network.classifier, [tapValues(values, network.nativeSize)]));
  const course = await openCourse(subject, blocks);
  const slots = pLimit(runsAtOnce(lab, subject));
  const lengths = Array.from({ length: blocks.length + 1 }, (_, length) => length);
  const logs = lengths.map((): number[] => []);
  try {
    for (const [image, file] of files.entries()) {
      const outputs = await whole.photo(await readImage(file));
      const point = pointOf((value) => expectTensor(outputs, value, 'float32').data);
      const paths = lengths.flatMap((length) => Array.from({ length: draws }, (_, draw) => ({ length, draw })));
      await slots.map(paths, async ({ length, draw }) => {
        logs[length]!.push(await course.follow(point, length, `${image}/${length}/${draw}`));
        onPath();
      });
    }
  } finally {
    slots.clearQueue();
    await Promise.all([whole.close(), course.close()]);
  }
  return logs.map(logOfMean);
}

/** A change v of a value. Its norm is kept apart, because it falls below what a number holds. */
interface Change {
  /** Has norm 1. */
  readonly direction: Float32Array;
  /** Natural logarithm of the norm. */
  readonly log: number;
}

/** Where derivatives are taken: the values of one image in the whole net. */
interface Point {
  valueOf(name: string): Float32Array;
  /** What a part gives there; it is run once. */
  resultOf(part: Part): Promise<Float32Array>;
}

function pointOf(valueOf: Point['valueOf']): Point {
  const results = new Map<Part, Promise<Float32Array>>();
  return {
    valueOf,
    resultOf(part) {
      const known = results.get(part) ?? part.run(valueOf(part.from).slice());
      results.set(part, known);
      return known;
    },
  };
}

/** Carries a change through a part of the net; undefined where nothing is left of it. */
type Carry = (change: Change, point: Point) => Change | undefined | Promise<Change | undefined>;

interface Part {
  readonly from: string;
  run(values: Float32Array): Promise<Float32Array>;
}

interface Course {
  /** The logarithm of the norm at the logits, of a change that follows a path of this length. */
  follow(point: Point, length: number, seed: string): Promise<number>;
  close(): Promise<void>;
}

/** The parts of a net, each in a session. */
async function openCourse(subject: Subject, blocks: readonly ResidualBlock[]): Promise<Course> {
  const producers = producersOf(subject.network.classifier);
  const closing: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(closing.map((end) => end()));
  };
  const open = async (from: string, to: string): Promise<Carry> => {
    if (from === to) return (change) => change;
    const last = producers.get(to);
    if (last?.op === 'Relu' && last.inputs[0] === from) return throughMask(to);
    const session = await openPart(subject, from, to);
    closing.push(() => session.close());
    return throughPart({ from, run: (values) => session.run(values) });
  };
  const openBlock = async ({ start, branches, shortcuts, join }: ResidualBlock, next: string) => ({
    start,
    branches: await Promise.all(branches.map(({ value }) => open(start, value))),
    shortcuts: await Promise.all(shortcuts.map(({ value }) => open(start, value))),
    behind: await open(join.outputs[0]!, next),
  });
  const stations: Awaited<ReturnType<typeof openBlock>>[] = [];
  try {
    for (const [index, block] of blocks.entries()) {
      stations.push(await openBlock(block, blocks[index + 1]?.start ?? LOGITS));
    }
  } catch (error) {
    await close();
    throw error;
  }
  return {
    close,
    async follow(point, length, seed) {
      const chosen = new Set(shuffled(stations, `${seed}/blocks`).slice(0, length));
      const { length: size } = point.valueOf(stations[0]!.start);
      let change: Change | undefined = { direction: direction(size, `${seed}/change`), log: 0 };
      for (const station of stations) {
        const carry = oneOf(chosen.has(station) ? station.branches : station.shortcuts, `${seed}/${station.start}`)!;
        change = change && (await carry(change, point));
        change = change && (await station.behind(change, point));
      }
      return change?.log ?? -Infinity;
    },
  };
}

/** The derivative of a ReLU, where its result is `value`. */
const throughMask =
  (value: string): Carry =>
  ({ direction: from, log }, point) => {
    const results = point.valueOf(value);
    return changeOf(
      from.map((number, index) => (results[index]! > 0 ? number : 0)),
      log,
    );
  };

const throughPart =
  (part: Part): Carry =>
  async ({ direction: from, log }, point) => {
    const x = point.valueOf(part.from);
    const step = STEP * (normOf(x) || 1);
    const [before, after] = await Promise.all([
      point.resultOf(part),
      part.run(x.map((number, index) => number + step * from[index]!)),
    ]);
    return changeOf(
      after.map((number, index) => number - before[index]!),
      log - Math.log(step),
    );
  };

/** A change of these numbers, times the exponential of `log`. */
function changeOf(numbers: Float32Array, log: number): Change | undefined {
  const norm = normOf(numbers);
  return norm === 0 ? undefined : { direction: numbers.map((number) => number / norm), log: log + Math.log(norm) };
}

function normOf(numbers: Float32Array): number {
  return Math.sqrt(numbers.reduce((sum, number) => sum + number * number, 0));
}

/** The logarithm of the mean of numbers whose logarithms are given. */
function logOfMean(logs: readonly number[]): number {
  const largest = Math.max(...logs);
  if (largest === -Infinity) return largest;
  return largest + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - largest), 0) / logs.length);
}
