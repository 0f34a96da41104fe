import { beforeEach, describe, expect, it, vi } from 'vitest';
import { onnxruntime } from '../../../src/runtime/onnxruntime/description.js';
import * as engineFile from '../../../src/runtime/onnxruntime/engine.js';
import { ShapeSessions, type ShapeLimits } from '../../../src/runtime/onnxruntime/shape-sessions.js';
import type { FeedShapes, Session, SessionSpec } from '../../../src/runtime/session.js';
import type { TensorMap } from '../../../src/tensor.js';

const SIDE = 4;
const COUNTS = [1, 2, 4, 8];
/** Of the weights: the model's own bytes. */
const COPY = 1000;

function image(count: number, side = SIDE): TensorMap {
  return { image: { type: 'uint8', dims: [count, side, side, 3], data: new Uint8Array(count * side * side * 3) } };
}

function specOf(id: string, counts: readonly number[] = COUNTS, more: Partial<SessionSpec> = {}): SessionSpec {
  const warmUp = counts.map((count): FeedShapes => ({ image: { type: 'uint8', dims: [count, SIDE, SIDE, 3] } }));
  return { id, model: new Uint8Array(COPY), warmUp, ...more };
}

/** What a run was: the number of its session, and its shape. */
type Ran = readonly [session: number, shape: string];

/** A device of made-up sessions, which says what runs where. */
class Device {
  readonly ran: Ran[] = [];
  readonly open = new Set<number>();
  opened = 0;
  /** Sessions that it has memory for. */
  memory = Infinity;
  /** Thrown by the next opening or run. */
  fails: { opening?: Error; run?: Error } = {};
  readonly grown = new Set<number>();

  readonly openSession = (): Promise<Session> => {
    const { opening } = this.fails;
    if (opening !== undefined) {
      delete this.fails.opening;
      return Promise.reject(opening);
    }
    if (this.open.size >= this.memory) return Promise.reject(new Error('CUDA failure 2: out of memory'));
    const number = (this.opened += 1);
    this.open.add(number);
    const { grown } = this;
    return Promise.resolve({
      provider: 'cuda',
      get hasGrown() {
        return grown.has(number);
      },
      shrink: () => Promise.resolve(void grown.delete(number)),
      run: (feeds) => this.#run(number, feeds),
      release: () => Promise.resolve(void this.open.delete(number)),
    });
  };

  async #run(session: number, feeds: TensorMap): Promise<TensorMap> {
    expect(this.open).toContain(session);
    this.ran.push([session, feeds['image']!.dims.join('×')]);
    await Promise.resolve();
    const { run } = this.fails;
    if (run === undefined) return feeds;
    delete this.fails.run;
    throw run;
  }

  /** Sessions whose last run had another shape. */
  changes(from = 0): Ran[] {
    const last = new Map<number, string>();
    return this.ran.filter(([session, shape], index) => {
      const changed = last.has(session) && last.get(session) !== shape;
      last.set(session, shape);
      return changed && index >= from;
    });
  }
}

let device: Device;
let now: number;
const shapesOf = (limits: Partial<ShapeLimits> = {}) => new ShapeSessions(limits, () => now);

async function runAll(session: Session, ...feeds: TensorMap[]): Promise<void> {
  for (const each of feeds) expect(await session.run(each)).toBe(each);
}

beforeEach(() => {
  device = new Device();
  now = 0;
});

describe('planned shapes', () => {
  it('never run in a session that has run another shape', async () => {
    const session = await shapesOf().open(specOf('net'), device.openSession);
    expect(session.provider).toBe('cuda');
    for (const count of [...COUNTS, 8, 1, 4, 1, 2, 8, 4, 2]) {
      await runAll(session, image(count), image(1, 9), image(3), image(count));
    }
    const planned = new Set(COUNTS.map((count) => `${count}×4×4×3`));
    expect(device.changes().filter(([, shape]) => planned.has(shape))).toEqual([]);
    // Others take turns in the first one.
    expect(device.changes().length).toBeGreaterThan(10);
    expect(new Set(device.ran.filter(([, shape]) => planned.has(shape)).map(([number]) => number)).size).toBe(4);
  });

  it('are opened when they first run, and once', async () => {
    const session = await shapesOf().open(specOf('net'), device.openSession);
    expect(device.opened).toBe(1);
    await Promise.all([session.run(image(8)), session.run(image(8)), session.run(image(1))]);
    expect(device.opened).toBe(3);
  });

  it('differ by their images, not by lists of classes', async () => {
    const session = await shapesOf().open(specOf('net'), device.openSession);
    for (const length of [1, 5]) {
      const classes = { type: 'int64', dims: [1, length], data: new BigInt64Array(length) } as const;
      await session.run({ ...image(1), classes });
    }
    expect(device.ran.map(([number]) => number)).toEqual([2, 2]);
  });

  it.each([
    ['the largest and the smallest first', 2.5, [8, 1]],
    ['then those between, falling', 3, [8, 1, 4]],
    ['none if one copy is too much', 0.5, []],
  ])('have copies of the weights within the limit: %s', async (_, copies, own) => {
    const session = await shapesOf({ maxCopiedBytes: copies * COPY }).open(specOf('net'), device.openSession);
    await runAll(session, ...COUNTS.map((count) => image(count)));
    const withOwn = device.ran.filter(([number]) => number > 1).map(([, shape]) => Number(shape.split('×')[0]));
    expect(withOwn.sort()).toEqual([...own].sort());
  });

  it('of all nets together are within the limit, which a net that is released leaves to others', async () => {
    const shapes = shapesOf({ maxCopiedBytes: 5 * COPY });
    const numbers = async (session: Session): Promise<number> => {
      const before = device.opened;
      await runAll(session, ...COUNTS.map((count) => image(count)));
      return device.opened - before;
    };
    const first = await shapes.open(specOf('first'), device.openSession);
    const second = await shapes.open(specOf('second'), device.openSession);
    expect(await numbers(first)).toBe(4);
    expect(await numbers(second)).toBe(1);
    await first.release();
    expect(await numbers(second)).toBe(3);
    const third = await shapes.open(specOf('third'), device.openSession);
    expect(await numbers(third)).toBe(1);
    expect(device.open.size).toBe(2 + 5);
  });

  it('count the files of weights as well', async () => {
    const stamp = { sha256: '', size: 2 * COPY, inode: 0n, writtenNs: 0n, changedNs: 0n };
    const spec = specOf('net', COUNTS, { weightsFiles: [{ name: 'weights', stamp }] });
    const session = await shapesOf({ maxCopiedBytes: 8 * COPY }).open(spec, device.openSession);
    await runAll(session, ...COUNTS.map((count) => image(count)));
    expect(device.opened).toBe(1 + 2);
  });
});

describe('other shapes', () => {
  const limits = { changesWorthOpening: 3, maxUnplanned: 2 };
  /** Images of these sides, one after the other. */
  const inTurn = (times: number, ...sides: number[]): TensorMap[] =>
    Array.from({ length: times }, () => sides.map((side) => image(1, side))).flat();

  it('get a session when they have come often, and then change nothing', async () => {
    const session = await shapesOf(limits).open(specOf('net', []), device.openSession);
    await runAll(session, ...inTurn(3, 5, 6, 7));
    expect(device.opened).toBe(1);
    await runAll(session, ...inTurn(1, 5, 6));
    expect(device.opened).toBe(3);
    const before = device.ran.length;
    // The third has the first session for itself.
    await runAll(session, ...inTurn(5, 5, 6, 7));
    expect(device.changes(before)).toEqual([]);
    expect(device.opened).toBe(3);
  });

  it('get none while the session runs nothing else: they change nothing', async () => {
    const session = await shapesOf(limits).open(specOf('net', []), device.openSession);
    await runAll(session, ...inTurn(9, 5));
    expect(device.opened).toBe(1);
  });

  it('share few sessions, of all nets together: the one that was used longest ago makes room', async () => {
    const shapes = shapesOf(limits);
    const one = await shapes.open(specOf('one', []), device.openSession);
    const two = await shapes.open(specOf('two', []), device.openSession);
    await runAll(one, ...inTurn(3, 5, 6, 9), ...inTurn(1, 5, 6, 5));
    expect([...device.open]).toEqual([1, 2, 3, 4]);
    await runAll(two, ...inTurn(3, 7, 8), image(1, 7));
    // That of side 6 was used before that of side 5.
    expect([...device.open]).toEqual([1, 2, 3, 5]);
    await runAll(one, image(1, 6));
    expect(device.ran.at(-1)).toEqual([1, '1×6×6×3']);
  });

  it('make room for the planned shapes of a net that is opened later', async () => {
    const shapes = shapesOf({ ...limits, maxCopiedBytes: 4 * COPY });
    const one = await shapes.open(specOf('one', []), device.openSession);
    await runAll(one, ...inTurn(3, 5, 6, 7), ...inTurn(1, 5, 6));
    expect(device.open.size).toBe(3);
    await shapes.open(specOf('two'), device.openSession);
    expect(device.open.size).toBe(2);
    await runAll(one, ...inTurn(9, 5, 6, 7));
    expect(device.open.size).toBe(2);
  });

  it('make room for the planned shapes of a net that has copies when another is released', async () => {
    const shapes = shapesOf({ ...limits, maxCopiedBytes: 4.5 * COPY });
    const one = await shapes.open(specOf('one', [1, 2, 4]), device.openSession);
    const large = await shapes.open(specOf('large', [1, 2], { model: new Uint8Array(2 * COPY) }), device.openSession);
    await runAll(one, image(1), image(2), image(4));
    const two = await shapes.open(specOf('two', []), device.openSession);
    await runAll(two, ...inTurn(4, 5, 6));
    expect(device.open.size).toBe(3 + 3 + 1);
    await one.release();
    expect(device.open.size).toBe(2);
    await runAll(large, image(1), image(2));
    expect(device.open.size).toBe(2 + 2);
  });

  it('get none if they are large: their session would keep much memory', async () => {
    const session = await shapesOf(limits).open(specOf('net', [], { largeFeed: 800 }), device.openSession);
    await runAll(session, ...inTurn(9, 5, 6, 7));
    expect(device.opened).toBe(2);
    expect(device.ran.filter(([number]) => number > 1).every(([, shape]) => shape === '1×5×5×3')).toBe(true);
  });

  it('that always differ open nothing', async () => {
    const session = await shapesOf(limits).open(specOf('net', []), device.openSession);
    const sides = Array.from({ length: 100 }, (_, index) => 5 + index);
    await runAll(session, ...inTurn(6, ...sides));
    expect(device.opened).toBe(1);
  });
});

describe('a device without memory', () => {
  const outOfMemory = (): Error => new Error('Failed to allocate memory for requested buffer of size 4294967296');

  it('runs a shape in the first session if its own cannot be opened, and tries again later', async () => {
    const session = await shapesOf({ restMs: 1000 }).open(specOf('net'), device.openSession);
    await runAll(session, image(1));
    device.memory = 2;
    await runAll(session, image(2), image(4), image(1));
    expect(device.ran.map(([number]) => number)).toEqual([2, 1, 1, 2]);
    device.memory = Infinity;
    await runAll(session, image(2));
    expect(device.opened).toBe(2);
    now = 1000;
    await runAll(session, image(2));
    expect(device.opened).toBe(3);
  });

  it('does so if the first run of an own session fails, whatever the reason, and releases that session', async () => {
    const session = await shapesOf().open(specOf('net'), device.openSession);
    device.fails.run = new Error('no plan for this');
    await runAll(session, image(1));
    expect(device.ran.map(([number]) => number)).toEqual([2, 1]);
    expect([...device.open]).toEqual([1]);
    // That shape stays there; memory is no reason for others to wait.
    await runAll(session, image(1), image(2));
    expect(device.ran.map(([number]) => number)).toEqual([2, 1, 1, 3]);
    expect(device.opened).toBe(3);
  });

  it.each(['own', 'first'])('releases what the shapes hold for a run in the %s session', async (which) => {
    const shapes = shapesOf({ restMs: 1000 });
    const other = await shapes.open(specOf('other'), device.openSession);
    const session = await shapes.open(specOf('net'), device.openSession);
    await runAll(other, image(1), image(2));
    await runAll(session, image(1));
    device.fails.run = outOfMemory();
    await runAll(session, which === 'own' ? image(1) : image(1, 9));
    expect([...device.open]).toEqual([1, 2]);
    await runAll(other, image(1));
    expect(device.open.size).toBe(2);
    now = 1000;
    await runAll(other, image(1));
    expect(device.open.size).toBe(3);
  });

  it('releases that for a net that is opened', async () => {
    const shapes = shapesOf();
    const session = await shapes.open(specOf('net'), device.openSession);
    await runAll(session, image(1), image(2));
    device.memory = 3;
    await shapes.open(specOf('other'), device.openSession);
    expect(device.open.size).toBe(2);
  });

  it('fails a run as it did without own sessions: with the error, and once', async () => {
    const shapes = shapesOf();
    const session = await shapes.open(specOf('net'), device.openSession);
    device.fails.run = outOfMemory();
    await expect(session.run(image(1, 9))).rejects.toThrow('Failed to allocate');
    await runAll(session, image(1));
    device.fails.run = new Error('a bad input');
    await expect(session.run(image(1, 9))).rejects.toThrow('a bad input');
    device.fails.run = new Error('a bad input');
    await expect(session.run(image(1))).rejects.toThrow('a bad input');
    expect(device.ran.map(([number]) => number)).toEqual([1, 2, 1, 2]);
    expect(device.open.size).toBe(2);
  });

  it("rejects with the engine's error if the net cannot be opened", async () => {
    device.fails.opening = new Error('protobuf parsing failed');
    await expect(shapesOf().open(specOf('net'), device.openSession)).rejects.toThrow('protobuf parsing failed');
  });
});

describe('a net', () => {
  it('is released with all its sessions, and no other', async () => {
    const shapes = shapesOf();
    const kept = await shapes.open(specOf('kept'), device.openSession);
    const session = await shapes.open(specOf('net'), device.openSession);
    await runAll(kept, image(1));
    await runAll(session, ...COUNTS.map((count) => image(count)));
    expect(device.open.size).toBe(7);
    await session.release();
    expect(device.open.size).toBe(2);
    await runAll(kept, image(1), image(2));
  });

  it('is released after the run that goes on', async () => {
    const session = await shapesOf().open(specOf('net'), device.openSession);
    await Promise.all([session.run(image(1)), session.release()]);
    expect(device.open.size).toBe(0);
  });

  it('gives back the memory of each session that has grown', async () => {
    const session = await shapesOf().open(specOf('net'), device.openSession);
    await runAll(session, image(1), image(2));
    expect(session.hasGrown).toBe(false);
    device.grown.add(1).add(3);
    expect(session.hasGrown).toBe(true);
    await session.shrink!();
    expect(device.grown.size).toBe(0);
    expect(session.hasGrown).toBe(false);
  });
});

describe('ONNX Runtime', () => {
  it("has them on CUDA alone: the other providers' sessions remember all shapes, or plan none", async () => {
    const create = vi.spyOn(engineFile, 'createOnnxruntimeEngine');
    for (const kind of onnxruntime.kinds) {
      await onnxruntime.load({ threads: 1, device: { kind, index: 0 } });
      expect(create.mock.lastCall![1]!.remembersOneShape, kind).toBe(kind === 'cuda');
    }
  });
});
