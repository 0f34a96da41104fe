/**
 * Sessions by shape, for a device whose sessions remember the last input's shape only. Hides which shapes have a session of their
 * own, and what that may take of the device's memory.
 *
 * Since ONNX Runtime 1.20 each convolution of its CUDA provider builds cuDNN's graph and its plans anew when its input has other
 * dimensions than in the last run, although it had them before. Source: onnxruntime/core/providers/cuda/nn/conv.cc,
 * `Conv::UpdateState`; microsoft/onnxruntime issue 23006. Where a session runs one shape alone, that happens once.
 *
 * - Shapes that are planned (`SessionSpec.warmUp`) have sessions of their own, opened when they first run.
 * - Another shape gets one when it has come often enough to be worth the opening, unless it is large. The device holds few of these:
 *   the one that was used longest ago makes room.
 * - Everything else runs in the session that was opened first, as it would without this file.
 *
 * Each session has a copy of the weights on the device, and memory for its shape. The copies of all nets together are bounded. When a
 * session cannot be opened, its run goes to the first one, as all later ones of its shape do. If the device had no memory for it, no session is
 * opened for a while; then it is tried again. When it has none for a run or a net, the sessions by shape are
 * released and it is tried again: nothing fails that would not fail without them.
 */
import pLimit from 'p-limit';
import type { TensorMap } from '../../tensor.js';
import { growsMemory } from '../feed-size.js';
import type { Session, SessionSpec } from '../session.js';

export interface ShapeLimits {
  /** Of all copies of weights beside those of the first sessions. */
  readonly maxCopiedBytes: number;
  /** Sessions for shapes that were not planned, of all nets together. */
  readonly maxUnplanned: number;
  /** How often such a shape must have changed the first session's before it gets a session. */
  readonly changesWorthOpening: number;
  /** After the device's memory did not suffice, no session is opened for so long. */
  readonly restMs: number;
}

/**
 * Six copies of the ResNet-50 are 0.6 GB, three of the VGG-16 1.7 GB. Sixteen changes of the ResNet-50 take 0.8 s, a first run 0.1 to 0.2 s
 * (load/results/2026-11-29-gpu.md); what opening takes besides is not measured.
 */
const LIMITS: ShapeLimits = {
  maxCopiedBytes: 2 ** 31,
  maxUnplanned: 4,
  changesWorthOpening: 16,
  restMs: 10 * 60_000,
};

/** Shapes whose changes are counted, of each net. */
const MAX_COUNTED = 64;

/** A net that is open. */
interface Net {
  readonly spec: SessionSpec;
  readonly first: Session;
  readonly openAnother: () => Promise<Session>;
  /** Of one copy of the weights. */
  readonly bytes: number;
  /** The shapes that were planned, those that are worth most first. */
  readonly wanted: readonly string[];
  /** Those of them that have a session reserved: the first. */
  planned: ReadonlySet<string>;
  /** That the first session ran last. */
  lastShape: string | undefined;
  /** How often a shape has changed that of the first session; those that did it last are at the end. */
  readonly changes: Map<string, number>;
  /** Shapes whose sessions failed for another reason than memory; those that did last are at the end. */
  readonly refused: Set<string>;
}

interface Own {
  readonly net: Net;
  readonly shape: string;
  readonly session: Session;
}

/** All sessions of an engine on one device. They run one at a time. */
export class ShapeSessions {
  readonly #limits: ShapeLimits;
  readonly #now: () => number;
  readonly #nets = new Set<Net>();
  /** Those that were used last are at the end. */
  #own: Own[] = [];
  #restsUntil = -Infinity;
  /** No session is released while it runs, whichever net it belongs to. */
  readonly #turns = pLimit(1);

  constructor(limits: Partial<ShapeLimits> = {}, now: () => number = () => performance.now()) {
    this.#limits = { ...LIMITS, ...limits };
    this.#now = now;
  }

  /** A session that computes what those that `openSession` opens compute. Rejects if the first of them cannot be opened. */
  open(spec: SessionSpec, openSession: () => Promise<Session>): Promise<Session> {
    return this.#turns(async () => {
      const first = await this.#withMemory(openSession);
      const net: Net = {
        ...{ spec, first, openAnother: openSession, bytes: Math.max(1, bytesOf(spec)) },
        ...{ wanted: byWorth(spec), planned: new Set(), lastShape: undefined, changes: new Map(), refused: new Set() },
      };
      this.#nets.add(net);
      await this.#reserve();
      return this.#sessionOf(net);
    });
  }

  #sessionOf(net: Net): Session {
    const sessions = (): Session[] => [net.first, ...this.#own.filter((own) => own.net === net).map(sessionOf)];
    return {
      provider: net.first.provider,
      run: (feeds) => this.#turns(() => this.#run(net, feeds)),
      get hasGrown() {
        return sessions().some(({ hasGrown }) => hasGrown === true);
      },
      shrink: () =>
        this.#turns(async () => {
          for (const session of sessions()) if (session.hasGrown === true) await session.shrink?.();
        }),
      release: () =>
        this.#turns(async () => {
          const released = sessions();
          this.#nets.delete(net);
          this.#own = this.#own.filter((own) => own.net !== net);
          await this.#reserve();
          await releaseAll(released);
        }),
    };
  }

  async #run(net: Net, feeds: TensorMap): Promise<TensorMap> {
    const shape = shapeOf(feeds);
    const own = this.#own.find((each) => each.net === net && each.shape === shape);
    if (own !== undefined) {
      this.#own = [...this.#own.filter((each) => each !== own), own];
      return this.#withMemory(
        () => own.session.run(feeds),
        () => runInFirst(net, shape, feeds),
      );
    }
    const outputs = this.#isWorthOpening(net, shape, feeds) ? await this.#runInAnother(net, shape, feeds) : undefined;
    return outputs ?? this.#withMemory(() => runInFirst(net, shape, feeds));
  }

  #isWorthOpening(net: Net, shape: string, feeds: TensorMap): boolean {
    const isPlanned = net.planned.has(shape);
    const changes = isPlanned || net.lastShape === shape ? 0 : countChange(net, shape);
    if (this.#now() < this.#restsUntil || net.refused.has(shape)) return false;
    if (isPlanned) return true;
    const { maxCopiedBytes, maxUnplanned, changesWorthOpening } = this.#limits;
    const fits = maxUnplanned > 0 && this.#plannedBytes() + net.bytes <= maxCopiedBytes;
    return fits && changes > changesWorthOpening && !growsMemory(net.spec, feeds);
  }

  /** Run in a new session of the shape's own. Undefined if it cannot be opened, or its first run fails. */
  async #runInAnother(net: Net, shape: string, feeds: TensorMap): Promise<TensorMap | undefined> {
    if (!net.planned.has(shape)) await this.#makeRoom(net.bytes, this.#limits.maxUnplanned - 1);
    try {
      const session = await net.openAnother();
      try {
        const outputs = await session.run(feeds);
        this.#own.push({ net, shape, session });
        net.changes.delete(shape);
        return outputs;
      } catch (error) {
        await session.release();
        throw error;
      }
    } catch (error) {
      if (isOutOfMemory(error)) this.#rest();
      else refuse(net, shape);
      return undefined;
    }
  }

  /** Release unplanned sessions, those used longest ago first, until so many are left and so many bytes are free. */
  async #makeRoom(bytes: number, most: number): Promise<void> {
    const unplanned = this.#own.filter(({ net, shape }) => !net.planned.has(shape));
    const free = this.#limits.maxCopiedBytes - this.#plannedBytes() - bytes;
    let held = unplanned.reduce((sum, { net }) => sum + net.bytes, 0);
    const released: Own[] = [];
    while (unplanned.length > most || (held > free && unplanned.length > 0)) {
      const oldest = unplanned.shift()!;
      held -= oldest.net.bytes;
      released.push(oldest);
    }
    this.#own = this.#own.filter((own) => !released.includes(own));
    await releaseAll(released.map(sessionOf));
  }

  /** Each net has what those before it leave, so none loses anything by a later one, and what one leaves goes to the next. */
  async #reserve(): Promise<void> {
    let free = this.#limits.maxCopiedBytes;
    for (const net of this.#nets) {
      net.planned = new Set(net.wanted.slice(0, Math.floor(free / net.bytes)));
      free -= net.planned.size * net.bytes;
    }
    await this.#makeRoom(0, this.#limits.maxUnplanned);
  }

  /** Whether they are open or not: the first run of each opens it. */
  #plannedBytes(): number {
    return [...this.#nets].reduce((sum, { bytes, planned }) => sum + bytes * planned.size, 0);
  }

  /** When the device has no memory left, release all sessions by shape and do it again. */
  async #withMemory<T>(action: () => Promise<T>, again = action): Promise<T> {
    try {
      return await action();
    } catch (error) {
      if (!isOutOfMemory(error) || this.#own.length === 0) throw error;
      const released = this.#own.splice(0);
      this.#rest();
      await releaseAll(released.map(sessionOf));
      return again();
    }
  }

  #rest(): void {
    this.#restsUntil = this.#now() + this.#limits.restMs;
  }
}

function runInFirst(net: Net, shape: string, feeds: TensorMap): Promise<TensorMap> {
  net.lastShape = shape;
  return net.first.run(feeds);
}

/** This change included. */
function countChange({ changes }: Net, shape: string): number {
  const count = (changes.get(shape) ?? 0) + 1;
  changes.delete(shape);
  changes.set(shape, count);
  if (changes.size > MAX_COUNTED) changes.delete([...changes.keys()][0]!);
  return count;
}

function refuse({ refused }: Net, shape: string): void {
  refused.add(shape);
  if (refused.size > MAX_COUNTED) refused.delete([...refused][0]!);
}

const sessionOf = ({ session }: Own): Session => session;

async function releaseAll(sessions: readonly Session[]): Promise<void> {
  await Promise.all(sessions.map((session) => session.release()));
}

/** The shapes of the images: lists of classes reach no convolution. */
function shapeOf(feeds: Readonly<Record<string, { readonly dims: readonly number[] }>>): string {
  const images = Object.entries(feeds).filter(([, { dims }]) => dims.length > 2);
  return images
    .map(([name, { dims }]) => `${name} ${dims.join('×')}`)
    .sort()
    .join(', ');
}

/** The planned shapes: the largest batch, which a busy server has most of the time, then the smallest, then the others, falling. */
function byWorth({ warmUp = [] }: SessionSpec): string[] {
  const [smallest, ...others] = warmUp.map(shapeOf);
  if (smallest === undefined) return [];
  const [largest, ...between] = others.reverse();
  return [...(largest === undefined ? [] : [largest]), smallest, ...between];
}

/** About what the weights take on the device. */
function bytesOf({ model, weightsFiles = [] }: SessionSpec): number {
  return weightsFiles.reduce((sum, { stamp }) => sum + stamp.size, model.byteLength);
}

/**
 * Sources: ONNX Runtime's core/framework/bfc_arena.cc; CUDA's `cudaErrorMemoryAllocation`; the status codes of cuDNN and cuBLAS. Not seen
 * here.
 */
const OUT_OF_MEMORY = /out of memory|failed to allocate memory|smaller than requested bytes|_STATUS_ALLOC_FAILED/i;

function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && OUT_OF_MEMORY.test(error.message);
}
