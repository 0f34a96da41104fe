/**
 * Which blocks of code have run, as V8 counts them: its precise coverage, through the inspector of this thread. A search
 * (search.ts) keeps the inputs that reach new ones.
 *
 * V8 lists the blocks of a function that have not run, and leaves out those that have run as often as the block around them.
 * So a block is known from the first time that it did not run, and is new when it is not listed any more.
 *
 * Jazzer.js would do the same and more. Its native part needs a newer C library than the systems that this runs on (glibc
 * 2.38), and its versions before 4.0 download it from outside the npm registry.
 *
 * Source: Chrome DevTools Protocol, Profiler.takePreciseCoverage.
 */
import { Session, type Profiler } from 'node:inspector';

export interface Coverage {
  /** What has run since the last look, and never before as far as it was kept. */
  look(): NewBlocks;
  stop(): void;
}

export interface NewBlocks {
  readonly count: number;
  /** They are not new any more. */
  keep(): void;
}

type Range = Profiler.CoverageRange;

/** A function that has run. */
interface Known {
  /** Its blocks that never ran, by their keys. */
  readonly untouched: Map<string, Range>;
  readonly touched: Set<string>;
}

const keyOf = ({ startOffset, endOffset }: Range): string => `${startOffset}-${endOffset}`;

/** Watch the scripts whose URL is wanted. */
export function startCoverage(isWanted: (url: string) => boolean): Coverage {
  const session = new Session();
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  const known = new Map<string, Known>();

  /** The inspector answers before `post` returns. */
  function take(): readonly Profiler.ScriptCoverage[] {
    let scripts: readonly Profiler.ScriptCoverage[] = [];
    session.post('Profiler.takePreciseCoverage', (error, { result }) => {
      if (error !== null) throw error;
      scripts = result;
    });
    return scripts.filter(({ url }) => isWanted(url));
  }

  return {
    look() {
      const ran = take().flatMap(({ scriptId, functions }) =>
        functions
          .filter(({ ranges }) => ranges[0]!.count > 0)
          .map(({ ranges }) => {
            const idle = ranges.filter(({ count }) => count === 0);
            const key = `${scriptId}:${keyOf(ranges[0]!)}`;
            return { key, idle, isNew: !known.has(key), touched: touchedIn(known.get(key), idle) };
          }),
      );
      return {
        count: ran.reduce((sum, { isNew, touched }) => sum + (isNew ? 1 : 0) + touched.length, 0),
        keep() {
          for (const { key, idle, touched } of ran) {
            const entry = known.get(key) ?? { untouched: new Map<string, Range>(), touched: new Set<string>() };
            known.set(key, entry);
            for (const block of touched) {
              entry.untouched.delete(block);
              entry.touched.add(block);
            }
            for (const range of idle) if (!entry.touched.has(keyOf(range))) entry.untouched.set(keyOf(range), range);
          }
        },
      };
    },
    stop() {
      session.post('Profiler.stopPreciseCoverage');
      session.disconnect();
    },
  };
}

/** Blocks that lie in none of the idle ones. */
function touchedIn(known: Known | undefined, idle: readonly Range[]): string[] {
  if (known === undefined) return [];
  const isIdle = (block: Range): boolean =>
    idle.some(({ startOffset, endOffset }) => startOffset <= block.startOffset && block.endOffset <= endOffset);
  return [...known.untouched].flatMap(([key, block]) => (isIdle(block) ? [] : [key]));
}
