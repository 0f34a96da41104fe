import sharp from 'sharp';
import { beforeEach, describe, expect, it } from 'vitest';
import { createStudio, type DrawJob, type Studio } from '../../../src/drawing/studio.js';
import { readImageHeader } from '../../../src/images/image-header.js';
import type { RequestContext } from '../../../src/inference/request-context.js';
import { createMemory, type Memory } from '../../../src/memory.js';
import type { CompiledModel } from '../../../src/models/compile.js';

const MODEL = { manifest: { name: 'net' } } as unknown as CompiledModel;
const LIMITS = { background: { r: 0, g: 0, b: 0 }, maxPixels: 5e7, maxSeconds: 30 };

/** A label map alone, of so many pixels a side: about 2 µs a pixel as AVIF. */
async function jobOf(studio: Studio, side: number): Promise<DrawJob> {
  const bytes = await sharp({ create: { width: side, height: side, channels: 3, background: '#456' } })
    .png()
    .toBuffer();
  const header = await readImageHeader(bytes, { maxPixels: Infinity });
  const image = { header, labels: { values: new Uint16Array(4), width: 2, height: 2 }, classes: [] };
  const job = { kind: 'labels', bytes, image, style: { render: 'palette', alpha: 1 }, output: studio.output('avif') };
  return job as unknown as DrawJob;
}

const contextOf = (signal = new AbortController().signal): RequestContext => ({
  ...{ flow: { client: 'test', connection: 0 }, priority: 0, deadline: Infinity, signal },
});
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the studio', () => {
  let memory: Memory;
  let studio: Studio;
  let drawing: { readonly job: DrawJob; readonly end: () => void }[];

  beforeEach(() => {
    memory = createMemory(1e9);
    drawing = [];
    studio = createStudio({
      ...{ memory, limits: LIMITS, renderers: 2, observe: () => undefined },
      drawElsewhere: (job) => new Promise((resolve) => drawing.push({ job, end: () => resolve(Uint8Array.of(7)) })),
    });
  });

  it('has one long drawing made at a time, so that a process is left for short ones', async () => {
    const [long, short] = [await jobOf(studio, 1500), await jobOf(studio, 64)];
    const pictures = [long, long, short].map((job) => studio.draw(MODEL, job, contextOf()));
    await settled();
    const begun = (job: DrawJob): number => drawing.filter((one) => one.job === job).length;
    expect({ long: begun(long), short: begun(short) }).toEqual({ long: 1, short: 1 });
    drawing.find(({ job }) => job === long)!.end();
    await settled();
    expect(begun(long)).toBe(2);
    drawing.forEach(({ end }) => end());
    expect(await Promise.all(pictures)).toEqual([Buffer.of(7), Buffer.of(7), Buffer.of(7)]);
  });

  it('takes memory for a drawing while it is made, the maps and the encoded photo too', async () => {
    const job = await jobOf(studio, 64);
    const picture = studio.draw(MODEL, job, contextOf());
    await settled();
    expect(memory.freeForRuns).toBeLessThan(1e9 - 64 * 64 * 60 - job.bytes.length);
    drawing[0]!.end();
    await picture;
    expect(memory.freeForRuns).toBe(1e9);
  });

  it('never begins one that nobody waits for any more', async () => {
    const long = await jobOf(studio, 1500);
    const first = studio.draw(MODEL, long, contextOf());
    const client = new AbortController();
    const second = studio.draw(MODEL, long, contextOf(client.signal));
    await settled();
    client.abort(new Error('gone'));
    await expect(second).rejects.toThrow('gone');
    drawing[0]!.end();
    await first;
    await settled();
    expect(drawing).toHaveLength(1);
    expect(memory.freeForRuns).toBe(1e9);
  });

  it('has its memory back when clients leave in the same moment, of which one has waited for another', async () => {
    const [large, medium] = [await jobOf(studio, 1500), await jobOf(studio, 1200)];
    const bytesOf = async (job: DrawJob): Promise<number> => {
      const client = new AbortController();
      const picture = studio.draw(MODEL, job, contextOf(client.signal)).catch(() => undefined);
      await settled();
      const { drawings } = memory.inUse;
      drawing.splice(0).forEach(({ end }) => end());
      await picture;
      return drawings;
    };
    const [largest, other] = [await bytesOf(large), await bytesOf(medium)];
    // The large one does not fit beside what is drawn. The other would, and waits for its turn.
    const limited = createMemory(2 * (largest + other));
    const giveBack = await limited.takeForDrawing(other + 1, new AbortController().signal);
    const crowded = createStudio({
      ...{ memory: limited, limits: LIMITS, renderers: 4, observe: () => undefined },
      drawElsewhere: () => new Promise(() => undefined),
    });
    const clients = [new AbortController(), new AbortController()] as const;
    const first = crowded.draw(MODEL, large, contextOf(clients[0].signal));
    const second = crowded.draw(MODEL, medium, contextOf(clients[1].signal));
    await settled();
    expect(limited.inUse.drawings).toBe(other + 1);
    for (const client of clients) client.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    await expect(second).rejects.toThrow('gone');
    await settled();
    giveBack();
    expect(limited.inUse).toEqual({ runs: 0, kept: 0, drawings: 0 });
  });
});
