/** Sessions of models without an engine. */
import type { SessionRunner } from '../../src/models/parity.js';
import type { TensorMap } from '../../src/tensor.js';

/** Sessions that are only names. Those of the `failing` view do not open; those of a view on `hold`, when released. */
export class FakeSessions implements SessionRunner {
  /** Open now. */
  readonly ids = new Set<string>();
  /** Ever asked for. */
  readonly asked: string[] = [];
  failing: string | undefined;
  /** Called before each open. */
  onOpen: (() => Promise<void>) | undefined;
  #gate: { view: string; opened: Promise<void> } | undefined;

  async open({ id }: { id: string }): Promise<void> {
    this.asked.push(id);
    await this.onOpen?.();
    if (this.#gate !== undefined && id.endsWith(this.#gate.view)) await this.#gate.opened;
    if (this.failing !== undefined && id.endsWith(this.failing)) throw new Error(`no memory for /srv/secret/${id}`);
    this.ids.add(id);
  }

  async close(id: string): Promise<void> {
    this.ids.delete(id);
    return Promise.resolve();
  }

  /** Logits of the file's net, and of the converted one. */
  logits: { original: number[]; converted: number[] } = { original: [], converted: [] };

  async run(id: string): Promise<TensorMap> {
    this.asked.push(`run ${id}`);
    const values = id.endsWith('original') ? this.logits.original : this.logits.converted;
    return Promise.resolve({ logits: { type: 'float32', dims: [values.length], data: Float32Array.from(values) } });
  }

  hold(view: string): () => void {
    const { promise, resolve } = gate();
    this.#gate = { view, opened: promise };
    return resolve;
  }
}

/** A promise, and what resolves it. */
export function gate(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
