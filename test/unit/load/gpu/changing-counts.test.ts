import { expect, it } from 'vitest';
import type { Row } from '../../../../load/gpu/report.js';
import { measureChangingCounts, pairsOf } from '../../../../load/gpu/steps/changing-counts.js';
import type { StepContext } from '../../../../load/gpu/step-task.js';
import type { Engine, SessionSpec } from '../../../../src/runtime/session.js';

it.each([
  [[], []],
  [[4], []],
  [[1, 2], [[1, 2]]],
  [[1, 8, 32], [[1, 32]]],
  [
    [1, 2, 4, 8, 16, 32],
    [
      [1, 32],
      [8, 16],
    ],
  ],
])('of the counts %j, %j take turns', (counts, pairs) => {
  expect(pairsOf(counts)).toEqual(pairs);
});

interface Opened {
  readonly planned: readonly number[];
  readonly ran: number[];
  released: number;
}

/** Measure with a made-up engine, whose runs fail from one on. */
async function measure(counts: readonly number[], seconds = 60, failsAt = Infinity) {
  const opened: Opened[] = [];
  const engine: Engine = {
    open({ warmUp = [] }: SessionSpec) {
      const session: Opened = { planned: warmUp.map(({ image }) => image!.dims[0]!), ran: [], released: 0 };
      opened.push(session);
      return Promise.resolve({
        provider: 'cpu',
        run: (feeds) => {
          session.ran.push(feeds['image']!.dims[0]!);
          return session.ran.length < failsAt ? Promise.resolve({}) : Promise.reject(new Error('out of memory'));
        },
        release: () => Promise.resolve(void (session.released += 1)),
      });
    },
  };
  const rows: Row[] = [];
  const notes: string[] = [];
  const context = {
    ...{ device: 'onnxruntime/cuda', numbers: 'tf32', put: (row: Row) => rows.push(row) },
    ...{ begin: () => undefined, note: (note: string) => notes.push(note), left: () => 60 },
  } as unknown as StepContext;
  const spec = { id: 'net', model: new Uint8Array() };
  await measureChangingCounts(context, engine, { model: 'net', spec, width: 2, height: 2, counts, seconds });
  return { opened, rows, notes };
}

it('every second run has the count of the run before, in a session that knows the counts and in one that does not', async () => {
  const { opened, rows } = await measure([1, 2, 4, 8]);
  expect(opened.map(({ planned }) => planned)).toEqual([[1, 8, 2, 4], []]);
  for (const { ran, released } of opened) {
    expect(released).toBe(1);
    const warm = [1, 1, 8, 8, 2, 2, 4, 4];
    const turns = (a: number, b: number): number[] => [b, ...Array.from({ length: 5 }, () => [a, a, b, b]).flat()];
    expect(ran).toEqual([...warm, ...turns(1, 8), ...turns(2, 4)]);
  }
  expect(new Set(rows.map(({ key }) => key)).size).toBe(8);
  expect(rows).toHaveLength(8);
  expect(rows.slice(0, 2)).toMatchObject([
    { table: 'changing-counts', batch: 1, other: 8, planned: true, runs: 5 },
    { table: 'changing-counts', batch: 8, other: 1, planned: true, runs: 5 },
  ]);
  expect(rows[7]).toMatchObject({ batch: 4, other: 2, planned: false });
});

it('opens nothing where there is no time, or no other count', async () => {
  expect((await measure([1, 2], 0)).opened).toEqual([]);
  expect((await measure([1])).opened).toEqual([]);
});

it('says what did not run, and releases the session', async () => {
  const { opened, rows, notes } = await measure([1, 2], 60, 7);
  expect(rows).toEqual([]);
  expect(notes).toEqual(['net, counts in turn: out of memory', 'net, counts in turn: out of memory']);
  expect(opened.map(({ released }) => released)).toEqual([1, 1]);
});
