/**
 * The entry of a process that stands behind a server in the place of engine-process/main.ts, and answers every batch at once:
 * nothing is decoded, no engine runs, all numbers are zero. With it the server's own process is measured alone: HTTP, plans,
 * batches, messages with encoded photos, and answers.
 */
import { readOnnx } from '../../src/graph/onnx/model.js';
import type { Work, WorkOutput } from '../../src/inference/work.js';
import { channelToParent } from '../../src/processes/message-channel.js';
import {
  toPlainError,
  type Opened,
  type ProcessReply,
  type ProcessRequest,
  type Question,
  type RanBatch,
} from '../../src/processes/protocol.js';
import { elementCount, TYPED_ARRAYS, type Tensor, type TensorMap, type TensorType } from '../../src/tensor.js';

/** The outputs of one item, by session. */
const outputs = new Map<string, TensorMap>();

const channel = channelToParent<ProcessReply, ProcessRequest<Work>>({
  onMessage: receive,
  onEnd: end,
  maxBytes: () => Infinity,
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
void channel.send({ kind: 'ready' });

function receive(request: ProcessRequest<Work>): void {
  if ('exit' in request) end();
  else if ('question' in request) void reply(request.number, request.question);
}

async function reply(number: number, question: Question<Work>): Promise<void> {
  try {
    await channel.send({ kind: 'answer', number, value: answer(question) });
  } catch (error) {
    await channel.send({ kind: 'failure', number, error: toPlainError(error) });
  }
}

function answer(question: Question<Work>): unknown {
  switch (question.kind) {
    case 'open': {
      const items = readOnnx(question.spec.model).outputs.map(({ name, dataType, dims }) => {
        // Without the batch axis; a size that follows from the input is 1.
        const own = dims.slice(1).map((dim) => (typeof dim === 'number' ? dim : 1));
        const type = dataType as TensorType;
        const tensor = { type, dims: own, data: new TYPED_ARRAYS[type](elementCount(own)) } as Tensor;
        return [name, tensor] as const;
      });
      outputs.set(question.spec.id, Object.fromEntries(items));
      return { provider: 'cpu', warmUpMs: (question.spec.warmUp ?? []).map(() => 0) } satisfies Opened;
    }
    case 'close':
      outputs.delete(question.session);
      return undefined;
    case 'run': {
      const output = { outputs: outputs.get(question.session)!, decodeMs: 0 };
      return {
        outcomes: question.works.map(() => ({ output })),
        runMs: 0,
        hasGrown: false,
      } satisfies RanBatch<WorkOutput>;
    }
    case 'shrink':
      return undefined;
    case 'job':
      throw new Error('this process draws nothing');
  }
}

function end(): void {
  process.kill(process.pid, 'SIGKILL');
}
