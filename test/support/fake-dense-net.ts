/**
 * Inference over a fake dense net: arithmetic that makes a cell's logits from the red of the pixel at its centre. The
 * outputs are those of graph/passes/select-classes.ts. Every run is recorded.
 */
import type { Batcher, ItemResult, Submission } from '../../src/batching/batcher.js';
import { decodeInput, mirror } from '../../src/images/decode.js';
import { createInference, type Inference } from '../../src/inference/infer.js';
import type { RequestContext } from '../../src/inference/request-context.js';
import type { Work, WorkOutput } from '../../src/inference/work.js';
import type { CompiledModel } from '../../src/models/compile.js';
import type { DenseView } from '../../src/models/dense-views.js';

export interface FakeNet {
  readonly classes: number;
  readonly stride: number;
  /** The logit of a class at a cell whose pixel is `red`, in an input of `width` pixels. */
  readonly logitAt: (index: number, red: number, width: number) => number;
}

export interface FakeRun {
  readonly width: number;
  readonly classes: readonly number[];
}

export interface FakeInference {
  readonly inference: Inference;
  readonly model: CompiledModel;
  readonly runs: FakeRun[];
  /** Inputs that were decoded. */
  readonly decoded: { count: number };
}

export const NOBODY_LEAVES: RequestContext = {
  flow: { client: 'test', connection: 0 },
  priority: 0,
  deadline: Infinity,
  signal: new AbortController().signal,
};

export function fakeInference(net: FakeNet): FakeInference {
  const { classes, stride } = net;
  const geometry = { outputStride: stride, offset: stride / 2, receptiveField: stride };
  const view: DenseView = {
    session: { id: 'fake@1/dense', model: new Uint8Array() },
    multiplyAdds: ({ width, height }) => width * height,
    peakBytes: () => 0,
    pixelCost: 1,
    check: () => undefined,
    geometry: { ...geometry, kind: 'windows' },
    tiling: { ...geometry, alignment: stride },
    mapSize: ({ width, height }) => ({ width: Math.floor(width / stride), height: Math.floor(height / stride) }),
  };
  const model = {
    manifest: { name: 'fake', input: { size: 64, resize: 64, interpolation: 'bilinear' } },
    labels: Array.from({ length: classes }, (_, index) => ({ id: `id-${index}`, label: `thing ${index}` })),
    classifyView: () => view,
    dense: { view: () => view, sizeStep: 1 },
    conversion: { activation: 'softmax', temperature: 1 },
  };
  const runs: FakeRun[] = [];
  const decoded = { count: 0 };
  const batcher: Pick<Batcher<Work, WorkOutput>, 'submit' | 'expectedWaitMs'> = {
    expectedWaitMs: () => 0,
    submit: (submission) => runFake(net, submission, runs),
  };
  const inference = createInference({
    batcher: batcher as Batcher<Work, WorkOutput>,
    lease: () => ({ opened: Promise.resolve('fake'), release: () => undefined }),
    limits: { maxPixels: 5e7, maxInputPixels: 2240 * 2240, maxQueue: 16 },
    background: { r: 0, g: 0, b: 0 },
    observe: (phase) => {
      if (phase === 'decode') decoded.count += 1;
    },
  });
  return { inference, model: model as unknown as CompiledModel, runs, decoded };
}

async function runFake(
  { classes, stride, logitAt }: FakeNet,
  { work }: Submission<Work>,
  runs: FakeRun[],
): Promise<ItemResult<WorkOutput>> {
  if (!('image' in work)) throw new Error('there is no image');
  const { image, classes: selectors = [] } = work;
  const { width: inputWidth, height: inputHeight } = image.part ?? image.input.crop;
  const decoded = await decodeInput(image);
  const pixels = image.mirrored ? mirror(decoded, inputWidth) : decoded;
  const [height, width] = [Math.floor(inputHeight / stride), Math.floor(inputWidth / stride)];
  const cells = height * width;
  const asked = [...selectors];
  runs.push({ width: inputWidth, classes: asked });

  const reds = Array.from({ length: cells }, (_, cell) => {
    const [row, column] = [Math.floor(cell / width), cell % width];
    const [y, x] = [row, column].map((position) => position * stride + stride / 2) as [number, number];
    return pixels[(y * inputWidth + x) * 3]!;
  });
  /** The logits of all classes, by the red of a pixel. */
  const logitsOf = new Map(
    [...new Set(reds)].map((red) => [
      red,
      Float32Array.from({ length: classes }, (_, index) => logitAt(index, red, inputWidth)),
    ]),
  );
  const perCell = <T>(measure: (logits: Float32Array) => T): T[] => {
    const measured = new Map([...logitsOf].map(([red, all]) => [red, measure(all)]));
    return reds.map((red) => measured.get(red)!);
  };
  const mapOf = (index: number): number[] => perCell((all) => all[index]!);
  const logits = Float32Array.from({ length: classes }, (_, index) => mapOf(index).reduce((a, b) => a + b, 0) / cells);
  const ranked = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!);
  const selected = asked.map((selector) => (selector < classes ? selector : ranked[selector - classes]!));
  const best = perCell((all) => all.reduce((winner, logit, index) => (logit > all[winner]! ? index : winner), 0));
  const sums = perCell((all) => Math.log(all.reduce((sum, logit) => sum + Math.exp(logit), 0)));
  const bestLogits = perCell((all) => Math.max(...all));
  return {
    output: {
      // As in a batch, where the mirrored image takes its pixels from the other.
      decodeMs: image.mirrored ? 0 : 1,
      outputs: {
        logits: { type: 'float32', dims: [classes], data: logits },
        classes_selected: { type: 'int64', dims: [selected.length], data: BigInt64Array.from(selected, BigInt) },
        class_logits: {
          type: 'float32',
          dims: [selected.length, height, width],
          data: Float32Array.from(selected.flatMap(mapOf)),
        },
        log_normalizer: { type: 'float32', dims: [1, height, width], data: Float32Array.from(sums) },
        best_class: { type: 'int32', dims: [height, width], data: Int32Array.from(best) },
        best_logit: {
          type: 'float32',
          dims: [height, width],
          data: Float32Array.from(bestLogits),
        },
      },
    },
    run: { reason: 'idle', sentAtMs: 0, ranAtMachineMs: undefined, worker: undefined },
    queueMs: 1,
    inferMs: 2,
    batchSize: 1,
  };
}
