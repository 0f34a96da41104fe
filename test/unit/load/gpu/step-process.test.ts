import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { runStep } from '../../../../load/gpu/step-process.js';
import type { StepKind } from '../../../../load/gpu/plan.js';
import type { StepMessage, StepTask } from '../../../../load/gpu/step-task.js';

const FILE = fileURLToPath(new URL('../../../fixtures/gpu-step.mjs', import.meta.url));

async function run(how: string, limitSeconds = 60, signal = new AbortController().signal, mark = randomUUID()) {
  const messages: StepMessage[] = [];
  const task = { kind: how as StepKind } as StepTask;
  const onMessage = (message: StepMessage): void => void messages.push(message);
  const end = await runStep(task, { limitSeconds, environment: { GPU_TEST: mark }, signal, onMessage, file: FILE });
  return { end, messages };
}

const FACT = { row: { table: 'fact', key: 'a', value: NaN } };
const BEGUN = { doing: 'something' };

it('keeps what a step has told, and how it ended', async () => {
  const { end, messages } = await run('done');
  expect(messages).toEqual([FACT, BEGUN]);
  expect(end).toMatchObject({ state: 'done', written: 'a warning of a library' });
});

it.each([
  ['fails', 'failed', 'there is no such model'],
  ['crashes', 'died', 'its process ended with signal SIGABRT; it was at: something'],
  ['exits', 'died', 'its process ended with code 3; it was at: something'],
])('says why a step that %s found out no more', async (how, state, why) => {
  const { end, messages } = await run(how);
  expect(messages).toEqual([FACT, BEGUN]);
  expect(end).toMatchObject({ state, why, written: expect.stringContaining('a warning of a library') as string });
});

it('kills a step that hangs at its limit, and keeps what it had told', async () => {
  const { end, messages } = await run('hangs', 2);
  expect(end).toMatchObject({ state: 'killed', why: 'it was not over after 2 s; it was at: nothing at all' });
  expect(messages).toEqual([FACT, BEGUN, { doing: 'nothing at all' }]);
});

it('kills a step when the run is stopped', async () => {
  const stopped = AbortSignal.abort();
  expect((await run('hangs', 60, stopped)).end).toMatchObject({
    state: 'killed',
    why: expect.stringMatching(/^the run was stopped/) as string,
  });
});

it.runIf(process.platform === 'linux')('ends what a step has left behind', async () => {
  const mark = randomUUID();
  const { messages } = await run('leaves', 60, undefined, mark);
  expect(messages).toContainEqual({ note: 'it has started another' });
  const texts = await Promise.all(
    (await readdir('/proc'))
      .filter((name) => /^\d+$/.test(name) && name !== String(process.pid))
      .map((pid) => readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '')),
  );
  // A process that was killed may still be in the list, but has no environment any more.
  expect(texts.filter((text) => text.includes(mark))).toEqual([]);
});
