/**
 * The first runs of a session, before any request. On a GPU the first run of a shape finds or compiles its kernels and
 * takes up to a thousand times as long as later runs.
 */
import { elementCount, TYPED_ARRAYS, type TensorMap } from '../tensor.js';
import type { FeedShapes, Session } from './session.js';

/**
 * Run each of the shapes twice, with zeros. Resolves to the milliseconds of the second runs, in the order of the
 * shapes. Rejects with an Error that names the size of the batch that did not run.
 */
export async function warmUp(session: Session, shapes: readonly FeedShapes[] = []): Promise<number[]> {
  const times: number[] = [];
  for (const shape of shapes) {
    try {
      await session.run(zeros(shape));
      const feeds = zeros(shape);
      const start = performance.now();
      await session.run(feeds);
      times.push(performance.now() - start);
    } catch (cause) {
      const batch = Object.values(shape)[0]?.dims[0];
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new Error(`a batch of ${batch} does not run; a lower FULLCONV_MAX_BATCH makes batches smaller: ${why}`, {
        cause,
      });
    }
  }
  return times;
}

function zeros(shapes: FeedShapes): TensorMap {
  const tensors = Object.entries(shapes).map(([name, { type, dims }]) => {
    return [name, { type, dims, data: new TYPED_ARRAYS[type](elementCount(dims)) }] as const;
  });
  return Object.fromEntries(tensors);
}
