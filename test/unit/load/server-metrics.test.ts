import { expect, it } from 'vitest';
import { activityBetween, parseMetrics } from '../../../load/server-metrics.js';

const reading = (ones: number, twos: number, large: number, cpu: number): string => `
# HELP fullconv_batch_size Images in a dispatched batch
fullconv_batch_size_bucket{le="1",session="a@1/classify"} ${ones}
fullconv_batch_size_bucket{le="2",session="a@1/classify"} ${ones + twos}
fullconv_batch_size_bucket{le="4",session="a@1/classify"} ${ones + twos}
fullconv_batch_size_bucket{le="+Inf",session="a@1/classify"} ${ones + twos + large}
fullconv_batch_size_sum{session="a@1/classify"} ${ones + 2 * twos + 5 * large}
fullconv_batch_size_count{session="a@1/classify"} ${ones + twos + large}
fullconv_dispatches_total{session="a@1/classify",reason="idle"} ${ones}
fullconv_dispatches_total{session="b@1/classify",reason="idle"} 3
fullconv_dispatches_total{session="a@1/classify",reason="full"} ${twos + large}
process_cpu_seconds_total ${cpu}
nodejs_eventloop_lag_p99_seconds 0.0125
`;

it('reads names, labels and values, and no comments', () => {
  const [first] = parseMetrics(reading(4, 0, 0, 0));
  expect(first).toEqual({
    name: 'fullconv_batch_size_bucket',
    labels: { le: '1', session: 'a@1/classify' },
    value: 4,
  });
});

it('tells what happened between two readings', () => {
  const before = parseMetrics(reading(1, 1, 0, 10));
  const after = parseMetrics(reading(3, 2, 1, 13));
  expect(activityBetween(before, after, 2)).toEqual({
    batchSizes: { '1': 2, '2': 1, '>4': 1 },
    meanBatch: (2 + 2 + 5) / 4,
    dispatches: { idle: 2, full: 2 },
    cores: 1.5,
    ownCores: 1.5,
    eventLoopP99Ms: 2.5,
  });
});

it('counts all of a series that is new in the second reading', () => {
  const { dispatches } = activityBetween([], parseMetrics(reading(1, 0, 0, 0)), 1);
  expect(dispatches).toEqual({ idle: 4 });
});
