import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { buildSync } from 'esbuild';
import { describe, expect, it, vi } from 'vitest';
import { whenIdle } from '../../src/free-memory.js';

const SOURCE = fileURLToPath(new URL('../../src/free-memory.ts', import.meta.url));
const isGlibc = 'glibcVersionRuntime' in (process.report.getReport() as { header: object }).header;

/**
 * Blocks of 50 kB, which glibc takes out of its heap, are free but for the last: the heap ends in it, so that nothing goes back by
 * itself. Prints the megabytes that no file backs before, with the blocks, without them, and after the call.
 */
const PROGRAM = `
  import { readFileSync } from 'node:fs';
  const anonymous = () => Number(/Anonymous: +(\\d+)/.exec(readFileSync('/proc/self/smaps_rollup', 'utf8'))[1]) / 1024;
  await returnFreeMemory();
  const figures = [anonymous()];
  let blocks = Array.from({ length: 2000 }, () => Buffer.allocUnsafeSlow(50_000).fill(1));
  figures.push(anonymous());
  globalThis.kept = blocks.at(-1);
  blocks = undefined;
  setTimeout(async () => {
    figures.push(anonymous());
    await returnFreeMemory();
    figures.push(anonymous());
    console.log(JSON.stringify(figures));
  }, 50);
`;

describe('returnFreeMemory', () => {
  it.runIf(isGlibc)('collects garbage, and gives back what lies free below a block in use', async () => {
    const built = buildSync({
      stdin: { contents: `import { returnFreeMemory } from ${JSON.stringify(SOURCE)};\n${PROGRAM}`, resolveDir: '.' },
      ...{ bundle: true, platform: 'node', format: 'esm', write: false, external: ['koffi'] },
    });
    const code = built.outputFiles[0]!.text;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', code], {
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    const [before = 0, full = 0, unused = 0, after = 0] = JSON.parse(stdout) as number[];
    expect(full - before).toBeGreaterThan(80);
    expect(unused - before).toBeGreaterThan(80);
    expect(after - before).toBeLessThan(30);
  });
});

describe('whenIdle', () => {
  it('works once nothing has been under way for a moment, for all who have asked until then', async () => {
    vi.useFakeTimers();
    try {
      const work = vi.fn(() => Promise.resolve());
      let isIdle = false;
      const task = whenIdle(() => isIdle, work);
      task.soon();
      task.soon();
      await vi.advanceTimersByTimeAsync(10_000);
      isIdle = true;
      await vi.advanceTimersByTimeAsync(1000);
      expect(work).not.toHaveBeenCalled();
      isIdle = false;
      await vi.advanceTimersByTimeAsync(1000);
      isIdle = true;
      await vi.advanceTimersByTimeAsync(1000);
      expect(work).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1000);
      expect(work).toHaveBeenCalledTimes(1);
      await vi.advanceTimersByTimeAsync(10_000);
      expect(work).toHaveBeenCalledTimes(1);
      task.soon();
      await vi.advanceTimersByTimeAsync(2000);
      expect(work).toHaveBeenCalledTimes(2);
      task.soon();
      task.stop();
      await vi.advanceTimersByTimeAsync(10_000);
      expect(work).toHaveBeenCalledTimes(2);
    } finally {
      vi.useRealTimers();
    }
  });
});
