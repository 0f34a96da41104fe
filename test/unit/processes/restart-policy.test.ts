import { describe, expect, it } from 'vitest';
import { planRestart, type WorkerLife } from '../../../src/processes/restart-policy.js';

const life = (given: Partial<WorkerLife> = {}): WorkerLife => ({
  readyForMs: undefined,
  hasServed: false,
  wasBusy: false,
  ...given,
});

describe('the restart of a dead worker', () => {
  it('waits twice as long after each failed start, and gives up after the fifth', () => {
    const delays: (number | undefined)[] = [];
    let failedStarts = 0;
    for (let death = 0; death < 5; death += 1) {
      const restart = planRestart(failedStarts, life());
      expect(restart.during).toBe('start');
      delays.push(restart.restartInMs);
      ({ failedStarts } = restart);
    }
    expect(delays).toEqual([100, 200, 400, 800, undefined]);
  });

  it.each([
    { what: 'died at once', readyForMs: 0 },
    { what: 'was ready for a while', readyForMs: 59_999 },
  ])('counts a worker that $what, idle, and never served', ({ readyForMs }) => {
    expect(planRestart(2, life({ readyForMs }))).toEqual({ failedStarts: 3, during: 'start', restartInMs: 400 });
  });

  it.each([
    { what: 'has served', given: { readyForMs: 1, hasServed: true } },
    { what: 'has served, and dies in a run', given: { readyForMs: 1, hasServed: true, wasBusy: true } },
    { what: 'has been ready for a minute', given: { readyForMs: 60_000 } },
  ])('starts the count again after a worker that $what', ({ given }) => {
    expect(planRestart(4, life(given))).toEqual({ failedStarts: 0, during: 'run', restartInMs: 0 });
  });

  it('neither counts nor forgives a death in the first run', () => {
    const died = life({ readyForMs: 5, wasBusy: true });
    expect(planRestart(3, died)).toEqual({ failedStarts: 3, during: 'run', restartInMs: 0 });
  });

  it('counts a death while the sessions are opened again', () => {
    expect(planRestart(0, life({ wasBusy: true }))).toEqual({ failedStarts: 1, during: 'start', restartInMs: 100 });
  });
});
