/**
 * A part of a model's net as a session of its own: values in, values out. Hides that many runs become batches.
 */
import { shapeKey } from '../batching/batch-tensors.js';
import { nativeShapes } from '../graph/native-shapes.js';
import { writeOnnx } from '../graph/onnx/model.js';
import { applyPasses } from '../graph/pass.js';
import { cutOut } from '../graph/passes/cut-out.js';
import { localContext } from '../inference/request-context.js';
import { expectTensor } from '../tensor.js';
import type { Subject } from './subject.js';

export interface PartSession {
  /** The numbers of one image's value, row-major → those of the part's output. The input is given away. */
  run(values: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

let parts = 0;

/** Open the part between two values of the classifier, at its native size. Throws GraphError as cut-out.ts does. */
export async function openPart({ network, service }: Subject, from: string, to: string): Promise<PartSession> {
  const { classifier, nativeSize, weightsFolder, weightsFiles } = network;
  const { pool, batcher } = service;
  const shapes = nativeShapes(classifier, nativeSize);
  const model = writeOnnx(applyPasses(classifier, [cutOut({ from: [from], to: [to] }, shapes)]));
  const dims = shapes.get(from)!.slice(1);
  parts += 1;
  const id = `experiment/part-${parts}`;
  await pool.open({ id, model, weightsFolder, weightsFiles });
  const { deadline, priority, flow } = localContext;
  return {
    async run(data) {
      const feeds = { [from]: { type: 'float32', dims, data } } as const;
      const item = {
        session: id,
        shape: shapeKey(feeds),
        work: { feeds },
        cost: 0,
        bytes: 0,
        priority,
        flow,
        deadline,
      };
      const { output } = await batcher.submit(item);
      return expectTensor(output.outputs, to, 'float32').data;
    },
    async close() {
      await pool.close(id);
      batcher.forget(id);
    },
  };
}
