/** What the batcher needs of whoever runs batches. `Work` is one item, `Output` what becomes of it. */

export interface BatchResult<Output> {
  /** In the order of the batch: an item that fails by itself fails alone. */
  readonly outcomes: readonly ({ readonly output: Output } | { readonly error: Error })[];
  /** Time inside the engine, in milliseconds. */
  readonly runMs: number;
  /** When the engine was done, by the machine's clock (machine-clock.ts); absent: nobody said. */
  readonly ranAtMachineMs?: number | undefined;
  readonly worker?: RunWorker | undefined;
}

/** Who ran a batch. */
export interface RunWorker {
  /** Of its process, from 0; stays the same when a process is replaced. */
  readonly number: number;
  readonly device: string;
}

export interface RunOptions {
  /** The worker is ended when the run takes longer; absent: it may take any time. */
  readonly limitMs?: number | undefined;
  /** The worker is ended when the outputs have more bytes; absent: 1 GiB. */
  readonly maxAnswerBytes?: number | undefined;
  /** After how long the worker is expected to take the next run; absent: when this one is over. */
  readonly expectedMs?: number | undefined;
  /** Memory that it takes, by estimate. */
  readonly bytes?: number | undefined;
}

export interface Executor<Work, Output> {
  /** How many `run`s there can be at the same time. */
  readonly size: number;
  /** How many more `run`s may be started now. */
  readonly idle: number;
  /** How many of these begin at once; the others begin behind a run that should be over. */
  readonly free: number;
  /** Why no `run` can succeed any more; undefined while one can. */
  readonly failure: Error | undefined;
  /** Called only while `idle` > 0, which it lowers at once. */
  run(sessionId: string, works: readonly Work[], options?: RunOptions): Promise<BatchResult<Output>>;
  /** Bytes of earlier runs of a session that the next run of it will find with its worker; absent: none. */
  keptForNext?(sessionId: string): number;
  /** Be told when `idle` rises or `failure` is set. */
  onIdle(callback: () => void): void;
}
