import { beforeEach, describe, expect, it } from 'vitest';
import type { CompiledModel } from '../../../src/models/compile.js';
import type { View } from '../../../src/models/dense-views.js';
import { LoadedModel, type SessionOpener } from '../../../src/models/loaded-model.js';

/** Sessions that are only names, and tell the order of what happened to them. */
class FakeSessions implements SessionOpener {
  readonly opened = new Set<string>();
  readonly events: string[] = [];
  #gates = new Map<string, Promise<void>>();
  #refusals = new Map<string, Promise<void>>();

  async open({ id }: { id: string }): Promise<void> {
    const refusal = this.#refusals.get(id);
    this.#refusals.delete(id);
    await refusal;
    await this.#gates.get(`open ${id}`);
    this.events.push(`open ${id}`);
    this.opened.add(id);
  }

  async close(id: string): Promise<void> {
    await this.#gates.get(`close ${id}`);
    this.events.push(`close ${id}`);
    this.opened.delete(id);
  }

  /** The next opening fails, when the function is called. */
  refuse(id: string): () => void {
    let reject: (error: Error) => void = () => undefined;
    this.#refusals.set(id, new Promise((_, fail) => (reject = fail)));
    return () => reject(new Error('no memory'));
  }

  hold(event: string): () => void {
    let resolve: () => void = () => undefined;
    this.#gates.set(event, new Promise((done) => (resolve = done)));
    return resolve;
  }
}

const view = (id: string): View => ({
  session: { id, model: new Uint8Array(), weightsFolder: '' },
  multiplyAdds: () => 1,
  pixelCost: 1,
  peakBytes: () => 0,
  check: () => undefined,
});
/** So large that two sessions besides the usual view's may stay. */
const model = {
  parameters: 1e9,
  classifyView: () => view('classify'),
  manifest: { name: 'net', input: { size: 64 } },
} as unknown as CompiledModel;

let sessions: FakeSessions;
let loaded: LoadedModel;
beforeEach(() => {
  sessions = new FakeSessions();
  loaded = new LoadedModel(model, sessions);
});

async function useOnce(id: string): Promise<void> {
  const { opened, release } = loaded.lease(view(id));
  expect(await opened).toBe(id);
  release();
  await new Promise(setImmediate);
}

describe('the sessions of a loaded model', () => {
  it('stay open for those views that were used last, and for the classifier', async () => {
    for (const id of ['classify', 'dense', 'dense-16', 'dense', 'dense-8']) await useOnce(id);
    expect([...sessions.opened].sort()).toEqual(['classify', 'dense', 'dense-8']);
    await useOnce('dense-16');
    expect([...sessions.opened].sort()).toEqual(['classify', 'dense-16', 'dense-8']);
  });

  it('are not closed under those who use them, but when they are done', async () => {
    const lease = loaded.lease(view('dense'));
    for (const id of ['dense-16', 'dense-8', 'dense-same']) await useOnce(id);
    expect([...sessions.opened].sort()).toEqual(['dense', 'dense-same']);
    const other = loaded.lease(view('dense-16'));
    const third = loaded.lease(view('dense-8'));
    await Promise.all([lease.opened, other.opened, third.opened]);
    expect([...sessions.opened].sort()).toEqual(['dense', 'dense-16', 'dense-8', 'dense-same']);
    for (const { release } of [lease, other, third]) release();
    await new Promise(setImmediate);
    expect([...sessions.opened].sort()).toEqual(['dense-16', 'dense-8']);
  });

  it('are opened again only when they have been closed', async () => {
    const release = sessions.hold('close a');
    for (const id of ['a', 'b', 'c']) await useOnce(id);
    const again = loaded.lease(view('a'));
    await new Promise(setImmediate);
    expect(sessions.events).toEqual(['open a', 'open b', 'open c']);
    release();
    await again.opened;
    expect(sessions.events).toEqual(['open a', 'open b', 'open c', 'close a', 'open a']);
    again.release();
  });

  it('that nobody waits for any more are closed when they are open', async () => {
    const release = sessions.hold('open a');
    const abandoned = loaded.lease(view('a'));
    abandoned.release();
    for (const id of ['b', 'c']) await useOnce(id);
    expect([...sessions.opened].sort()).toEqual(['b', 'c']);
    release();
    await abandoned.opened;
    await new Promise(setImmediate);
    expect([...sessions.opened].sort()).toEqual(['b', 'c']);
  });

  it('that are closed while they open are waited for, also behind one that is closing', async () => {
    const others = ['b', 'c'].map((id) => loaded.lease(view(id)));
    await Promise.all(others.map(({ opened }) => opened));
    const closed = sessions.hold('close a');
    await useOnce('a');
    // It waits for the first to close, and is to be closed itself.
    loaded.lease(view('a')).release();
    const opens = sessions.hold('open a');
    closed();
    await new Promise(setImmediate);
    const used = loaded.lease(view('a'));
    opens();
    await used.opened;
    await new Promise(setImmediate);
    expect(sessions.events.slice(3)).toEqual(['close a', 'open a', 'close a', 'open a']);
    expect(sessions.opened).toContain('a');
    for (const { release } of [used, ...others]) release();
  });

  it('that cannot be opened do not take their successor with them', async () => {
    const fail = sessions.refuse('a');
    const abandoned = loaded.lease(view('a'));
    abandoned.release();
    for (const id of ['b', 'c']) await useOnce(id);
    const again = loaded.lease(view('a'));
    fail();
    await expect(abandoned.opened).rejects.toThrow('no memory');
    await again.opened;
    await useOnce('a');
    expect(sessions.events.filter((event) => event === 'open a')).toHaveLength(1);
    again.release();
    await loaded.close();
    expect([...sessions.opened]).toEqual([]);
  });

  it('are all closed with the model, and none is opened after that', async () => {
    for (const id of ['classify', 'dense']) await useOnce(id);
    await loaded.close();
    expect([...sessions.opened]).toEqual([]);
    await expect(loaded.lease(view('dense')).opened).rejects.toMatchObject({ code: 'MODEL_NOT_FOUND' });
    expect([...sessions.opened]).toEqual([]);
  });
});
