/**
 * A model under experiment: its network, and sessions of graphs that are made of it. Hides how a graph over a model's
 * weights becomes a session, and how photographs become its input.
 */
import type { Service } from '../app.js';
import { shapeKey } from '../batching/batch-tensors.js';
import type { Config } from '../config.js';
import type { Graph } from '../graph/graph.js';
import { createInference, type ImageInput } from '../inference/infer.js';
import type { InputOptions } from '../inference/plan.js';
import { localContext } from '../inference/request-context.js';
import { multiplyAddCounter, peakByteCounter, preprocessingOf, type CompiledModel } from '../models/compile.js';
import type { View } from '../models/dense-views.js';
import { LoadedModel } from '../models/loaded-model.js';
import type { Precision } from '../models/manifest.js';
import type { Network } from '../models/networks/network.js';
import { sessionWriter, type SessionOptions } from '../models/session-writer.js';
import type { Tensor, TensorMap } from '../tensor.js';

export interface Subject {
  readonly service: Service;
  readonly model: CompiledModel;
  readonly network: Network;
  /**
   * Open a session of a graph over the model's weights, which takes what the classifier takes: float32 [N, 3, H, W],
   * normalized. It computes in single precision. It stays open until it is closed, or the work with the subject is over.
   */
  readonly open: (graph: Graph, options?: Pick<SessionOptions, 'ends'>) => Promise<Probe>;
  readonly close: () => Promise<void>;
}

/** A session that photographs and pixels are put into. Outputs lack the batch axis; the caller owns them. */
export interface Probe {
  /** By default as the classifier takes a photograph. Throws ServiceError, as inference does. */
  photo(image: ImageInput, input?: Partial<InputOptions>): Promise<TensorMap>;
  /** RGB, [h, w, 3]. The buffer is given away. */
  pixels(image: Tensor<'uint8'>): Promise<TensorMap>;
  /** A whole batch by itself, [N, h, w, 3] → milliseconds in the engine. The buffer is given away. */
  batch(image: Tensor<'uint8'>): Promise<number>;
  close(): Promise<void>;
}

/** Runs of experiments have no deadline. */
const { deadline, priority, flow } = localContext;

let sessions = 0;
let runs = 0;

export interface SubjectParts {
  readonly service: Service;
  readonly config: Config;
  readonly model: CompiledModel;
  readonly network: Network;
}

/** The model must be in use for as long as the subject is. `onOpen` is told in which precision a session computes. */
export function createSubject(
  { service, config, model, network }: SubjectParts,
  onOpen: (precision: Precision) => void = () => undefined,
): Subject {
  const { batcher, pool } = service;
  const write = sessionWriter(network, {
    id: `experiment/${model.manifest.name}`,
    preprocessing: preprocessingOf(model.manifest, network),
  });
  const opened = new Set<Probe>();

  return {
    service,
    model,
    network,
    async open(graph, options = {}) {
      sessions += 1;
      onOpen(model.precision === 'int8' ? 'int8' : 'fp32');
      const { digest: _, ...session } = write(`probe-${sessions}`, graph, options);
      const load = new LoadedModel(model, pool);
      const computed = { classifier: graph, dense: { unavailable: '' }, parameters: network.parameters };
      const view: View = {
        session,
        multiplyAdds: multiplyAddCounter(computed),
        peakBytes: peakByteCounter(computed),
        pixelCost: 1,
        check: () => undefined,
      };
      const inference = createInference({
        batcher,
        lease: (_model, of) => load.lease(of),
        limits: { ...config, inputStep: service.policy.inputStep },
        background: config.background,
        observe: () => undefined,
      });
      const lease = load.lease(view);
      await lease.opened.catch((error: unknown) => {
        lease.release();
        throw error;
      });
      const probe: Probe = {
        async photo(image, input = {}) {
          const { answer } = await inference.answer(
            image,
            {
              model,
              viewFor: () => view,
              input: { scales: [1], flip: false, ...input },
              read: (outputs) => outputs,
              combine: ([outputs]) => outputs!,
            },
            localContext,
          );
          return answer;
        },
        async pixels(image) {
          const [height = 0, width = 0] = image.dims;
          const feeds = { image };
          const { output } = await batcher.submit({
            session: session.id,
            shape: shapeKey(feeds),
            work: { feeds },
            cost: view.multiplyAdds({ width, height }),
            bytes: view.peakBytes({ width, height }),
            ...{ priority, flow, deadline },
          });
          return output.outputs;
        },
        async batch(image) {
          runs += 1;
          const { inferMs } = await batcher.submit({
            session: session.id,
            // It shares its run with no other.
            shape: `batch ${runs}`,
            work: { batch: { image } },
            cost: 0,
            bytes: image.dims[0]! * view.peakBytes({ width: image.dims[2]!, height: image.dims[1]! }),
            ...{ priority, flow, deadline },
          });
          return inferMs;
        },
        async close() {
          if (!opened.delete(probe)) return;
          lease.release();
          await load.close();
          batcher.forget(session.id);
        },
      };
      opened.add(probe);
      return probe;
    },
    async close() {
      await Promise.all([...opened].map((probe) => probe.close()));
    },
  };
}
