import { execFileSync } from 'node:child_process';
import { constants, openSync, readSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openLog } from '../../src/log.js';

const LINES = 20_000;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fullconv-log-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** What can be read from a pipe until it is empty for now. */
function readAll(pipe: number): string {
  const pieces: string[] = [];
  const buffer = Buffer.alloc(65536);
  for (;;) {
    try {
      pieces.push(buffer.toString('utf8', 0, readSync(pipe, buffer)));
    } catch {
      return pieces.join('');
    }
  }
}

it('writes its lines, all of them before it closes', async () => {
  const file = openSync(join(folder, 'log'), 'w');
  const log = openLog('info', file);
  for (let line = 0; line < 1000; line += 1) log.logger.info({ line }, 'here');
  log.logger.debug('below the level');
  expect(await log.close()).toBe(true);
  log.logger.info('after the end');
  const lines = (await readFile(join(folder, 'log'), 'utf8')).trim().split('\n');
  expect(lines.map((line) => (JSON.parse(line) as { line: number }).line)).toEqual([...Array(1000).keys()]);
});

it('drops what a full disk does not take, counts it, and closes', async () => {
  let dropped = 0;
  const full = openSync('/dev/full', 'w');
  const log = openLog('info', full, () => (dropped += 1));
  for (let line = 0; line < LINES; line += 1) log.logger.info({ line }, 'x'.repeat(100));
  expect(dropped).toBeGreaterThan(LINES / 4);
  expect(dropped).toBeLessThan(LINES);
  expect(await log.close()).toBe(true);
});

it('drops what nobody reads, and says how many lines when somebody does', async () => {
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  let dropped = 0;
  const log = openLog('info', pipe, () => (dropped += 1));
  for (let line = 0; line < LINES; line += 1) log.logger.info({ line }, 'x'.repeat(100));
  expect(dropped).toBeGreaterThan(0);
  const droppedBefore = dropped;

  let text = '';
  await expect.poll(() => (text += readAll(pipe))).toContain('were dropped');
  const lines = text.trim().split('\n');
  expect(JSON.parse(lines.at(-1)!)).toMatchObject({ level: 40, lines: droppedBefore });
  expect(lines.length - 1 + dropped).toBe(LINES);
  expect(dropped).toBe(droppedBefore);
  expect(await log.close()).toBe(true);
});

it('does not wait for ever for a reader at its end', async () => {
  const path = join(folder, 'pipe');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const log = openLog('info', pipe);
  for (let line = 0; line < LINES; line += 1) log.logger.info({ line }, 'x'.repeat(100));
  // A try again is no thread that hangs.
  expect(await log.close()).toBe(true);
});
