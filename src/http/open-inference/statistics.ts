/** A model's statistics as the protocol has them. Source: Triton, "Statistics Extension". */
import type { ModelStatistics, Tally } from '../../inference/statistics.js';

interface Duration {
  readonly count: number;
  /** Whole nanoseconds. */
  readonly ns: number;
}

/** An element of `model_stats`. */
export function describeStatistics(name: string, version: string, statistics: ModelStatistics): object {
  const { success, fail, queue, decode, infer, hit, miss, images, batches, lastAnswer } = statistics;
  const sizes = [...batches].sort(([a], [b]) => a - b);
  return {
    name,
    version,
    last_inference: lastAnswer,
    inference_count: images,
    execution_count: sizes.reduce((sum, [, { count }]) => sum + count, 0),
    inference_stats: {
      success: duration(success),
      fail: duration(fail),
      queue: duration(queue),
      compute_input: duration(decode),
      compute_infer: duration(infer),
      compute_output: none(infer),
      cache_hit: duration(hit),
      cache_miss: duration(miss),
    },
    response_stats: {},
    batch_stats: sizes.map(([size, tally]) => ({
      batch_size: size,
      compute_input: none(tally),
      compute_infer: duration(tally),
      compute_output: none(tally),
    })),
    memory_usage: [],
  };
}

function duration({ count, ms }: Tally): Duration {
  return { count, ns: Math.round(ms * 1e6) };
}

/** Happens as often, and takes no time of its own: images are decoded beside the runs before theirs. */
function none({ count }: Tally): Duration {
  return { count, ns: 0 };
}
