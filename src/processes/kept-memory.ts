/**
 * What the engine of one process keeps of runs that are over, by estimate: for each session the most that a run has taken. Runs of
 * a session have their memory there before they take more. It is given back when no run has needed it for a while, or when
 * others need it.
 */
export interface KeptMemoryEvents {
  /** `bytes` has changed. */
  onChange(): void;
  /** No run has needed it for KEPT_MS. */
  onUnused(): void;
}

/** How long the engine keeps what no run needs. To make it anew takes milliseconds, with OpenVINO up to a second. */
export const KEPT_MS = 5000;

/** A run of this part of what is kept needs it. */
const NEEDED_PART = 1 / 2;

export class KeptMemory {
  /** Of each session, of its runs that are over. */
  readonly #kept = new Map<string, number>();
  /** Of each session, of its runs that are not. */
  readonly #running = new Map<string, number>();
  readonly #events: KeptMemoryEvents;
  #unused: NodeJS.Timeout | undefined;

  constructor(events: KeptMemoryEvents) {
    this.#events = events;
  }

  /** What is kept beside the memory of the runs that are under way. */
  get bytes(): number {
    return [...this.#kept.keys()].reduce((sum, session) => sum + this.of(session), 0);
  }

  /** The part of it that the next run of a session finds. */
  of(session: string): number {
    return Math.max(0, (this.#kept.get(session) ?? 0) - (this.#running.get(session) ?? 0));
  }

  began(session: string, bytes: number): void {
    this.#running.set(session, (this.#running.get(session) ?? 0) + bytes);
    this.#events.onChange();
  }

  /** `isKept`: the engine keeps what it took. */
  ended(session: string, bytes: number, isKept: boolean): void {
    const others = this.#running.get(session)! - bytes;
    if (others > 0) this.#running.set(session, others);
    else this.#running.delete(session);
    if (isKept) {
      const before = this.#kept.get(session) ?? 0;
      this.#kept.set(session, Math.max(before, bytes));
      if (bytes >= NEEDED_PART * before) this.#wait();
    }
    this.#events.onChange();
  }

  /** The engine has given it back, or is gone. */
  gone(): void {
    clearTimeout(this.#unused);
    this.#kept.clear();
    this.#events.onChange();
  }

  #wait(): void {
    clearTimeout(this.#unused);
    this.#unused = setTimeout(() => this.#events.onUnused(), KEPT_MS).unref();
  }
}
