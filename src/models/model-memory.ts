/**
 * The bound on the memory of all loaded models (FULLCONV_MODEL_MEMORY). Before a model is loaded, those used longest ago
 * that nobody uses are unloaded until it fits. If all are in use, the load waits for one to become free. Loads wait in
 * line, so that a large one is not passed by small ones for ever.
 *
 * A model may be in use without a pause. When a load has waited for HOLD_AFTER_MS, new requests for the model used longest
 * ago are held back until it has become free, or until the load has found its place elsewhere.
 */

/** A model that takes memory while it is loaded. */
export interface Resident {
  /** Of its loads that are open, and of those that are being closed. */
  readonly bytes: number;
  /** Somebody works with it, waits for its load that has just ended, or changes it. */
  readonly isInUse: boolean;
  /** Refuse new work at once, and close it. Settles when its memory has been given back. */
  evict(): Promise<void>;
}

/** Give back the bytes that were kept for a load: it has failed, or the model itself counts them now. */
export type Release = () => void;

interface Waiting {
  readonly resident: Resident;
  readonly bytes: number;
  readonly since: number;
  readonly grant: (release: Release) => void;
}

const HOLD_AFTER_MS = 1000;

export class ModelMemory {
  /** Undefined: there is no bound. */
  readonly maxBytes: number | undefined;
  /** Those used longest ago first. */
  readonly #residents = new Set<Resident>();
  /** For loads under way. */
  readonly #kept = new Map<Release, Pick<Waiting, 'resident' | 'bytes'>>();
  readonly #leaving = new Set<Resident>();
  readonly #waiting: Waiting[] = [];
  #held: Resident | undefined;
  #letGo: (() => void)[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(maxBytes?: number) {
    this.maxBytes = maxBytes;
  }

  /** Bytes of all models, those of loads under way included. */
  get bytes(): number {
    return this.#bytesOfOthers();
  }

  /** Keep bytes for a load, if they are free now. */
  takeNow(resident: Resident, bytes: number): Release | undefined {
    const fits = this.#waiting.length === 0 && this.#fits({ resident, bytes });
    return fits ? this.#keep(resident, bytes) : undefined;
  }

  /** Keep bytes for a load, as soon as there is room. Rejects with the signal's reason. */
  take(resident: Resident, bytes: number, signal?: AbortSignal): Promise<Release> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(one), 1);
        reject(signal!.reason as Error);
        this.settle();
      };
      const one: Waiting = {
        ...{ resident, bytes, since: performance.now() },
        grant(release) {
          signal?.removeEventListener('abort', giveUp);
          resolve(release);
        },
      };
      signal?.addEventListener('abort', giveUp, { once: true });
      this.#waiting.push(one);
      this.settle();
    });
  }

  /** It is used now: the others go first. */
  used(resident: Resident): void {
    this.#residents.delete(resident);
    this.#residents.add(resident);
  }

  /** It will not come back. */
  forget(resident: Resident): void {
    this.#residents.delete(resident);
  }

  /** Whether new work must wait until `whenLetGo`. */
  isHeld(resident: Resident): boolean {
    return this.#held === resident;
  }

  whenLetGo(): Promise<void> {
    return new Promise((resolve) => this.#letGo.push(resolve));
  }

  /** See what can be done for the loads that wait: to be called when a model has become free, or its bytes have changed. */
  settle(): void {
    if (this.maxBytes === undefined && this.#waiting.length === 0) return;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (!this.#fits(next)) {
        this.#makeRoom(next);
        return;
      }
      this.#waiting.shift();
      this.#endHold();
      next.grant(this.#keep(next.resident, next.bytes));
    }
    this.#endHold();
    // Sessions for other maps are opened when they are asked for: nothing waits, and it is more than was reckoned with.
    if (this.bytes - this.#bytesLeaving() > this.maxBytes!) this.#evict(this.#free().find((one) => !this.#isLast(one)));
  }

  #makeRoom(next: Waiting): void {
    // What is being closed may be enough.
    const others = this.#bytesOfOthers(next.resident) - this.#bytesLeaving(next.resident);
    const own = this.#leaving.has(next.resident) ? 0 : next.resident.bytes;
    if (others === 0 || others + own + next.bytes <= this.maxBytes!) return;
    const free = this.#free().find((resident) => resident !== next.resident);
    if (free !== undefined) {
      this.#evict(free);
      this.#makeRoom(next);
      return;
    }
    if (this.#held !== undefined) return;
    const waitMs = next.since + HOLD_AFTER_MS - performance.now();
    if (waitMs <= 0) {
      this.#held = [...this.#residents].find(
        (one) => one !== next.resident && one.bytes > 0 && !this.#leaving.has(one),
      );
      return;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.settle(), waitMs).unref();
  }

  #endHold(): void {
    this.#held = undefined;
    const waiting = this.#letGo;
    this.#letGo = [];
    waiting.forEach((resume) => resume());
  }

  #evict(resident: Resident | undefined): void {
    if (resident === undefined) return;
    this.#leaving.add(resident);
    if (this.#held === resident) this.#endHold();
    const gone = (): void => {
      this.#leaving.delete(resident);
      this.settle();
    };
    void resident.evict().then(gone, gone);
  }

  /** Those that may be unloaded. */
  #free(): Resident[] {
    return [...this.#residents].filter((one) => !one.isInUse && one.bytes > 0 && !this.#leaving.has(one));
  }

  #isLast(resident: Resident): boolean {
    return [...this.#residents].at(-1) === resident;
  }

  /** A model that is loaded anew may have the old load beside the new one, however large both are. */
  #fits({ resident, bytes }: Pick<Waiting, 'resident' | 'bytes'>): boolean {
    if (this.maxBytes === undefined) return true;
    const others = this.#bytesOfOthers(resident);
    return others + resident.bytes + bytes <= this.maxBytes || (others === 0 && resident.bytes > 0);
  }

  #keep(resident: Resident, bytes: number): Release {
    const release = (): void => {
      if (this.#kept.delete(release)) this.settle();
    };
    this.#kept.set(release, { resident, bytes });
    this.used(resident);
    return release;
  }

  #bytesOfOthers(own?: Resident): number {
    const loaded = [...this.#residents].reduce((sum, one) => sum + (one === own ? 0 : one.bytes), 0);
    return [...this.#kept.values()].reduce((sum, kept) => sum + (kept.resident === own ? 0 : kept.bytes), loaded);
  }

  #bytesLeaving(own?: Resident): number {
    return [...this.#leaving].reduce((sum, one) => sum + (one === own ? 0 : one.bytes), 0);
  }
}
