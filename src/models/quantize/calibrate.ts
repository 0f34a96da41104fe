/** Measures the ranges of a network's values on images. */
import type { Graph } from '../../graph/graph.js';
import { writeOnnx } from '../../graph/onnx/model.js';
import { applyPasses } from '../../graph/pass.js';
import { addImageInput, type ImagePreprocessing } from '../../graph/passes/add-image-input.js';
import type { ValueRange } from '../../graph/quantization.js';
import type { SessionSpec } from '../../runtime/session.js';
import { expectTensor, type TensorMap } from '../../tensor.js';
import { clipRange, type Clipping } from './clipping.js';
import { Histogram } from './histogram.js';

/** Images that are prepared for the network and run in a session one by one, in any order. */
export interface CalibrationImages {
  readonly count: number;
  /** A digest of all images, hexadecimal. */
  readonly digest: string;
  /** Run each image through a session whose input is `image`. */
  run(spec: SessionSpec, onOutputs: (outputs: TensorMap, image: number) => void): Promise<void>;
}

export interface CalibrationOptions {
  readonly preprocessing: ImagePreprocessing;
  readonly weightsFolder: string;
  readonly clipping: Clipping;
}

/** The ranges of `values`, which must be float32 with a batch axis. */
export async function calibrate(
  graph: Graph,
  values: readonly string[],
  images: CalibrationImages,
  { preprocessing, weightsFolder, clipping }: CalibrationOptions,
): Promise<ReadonlyMap<string, ValueRange>> {
  const observed = values.map((name, index) => ({ name, output: `observed_${index}` }));
  const [batch = 'N'] = graph.inputs[0]!.dims;
  const copies = observed.map(({ name, output }) => ({
    op: 'Flatten',
    name: output,
    inputs: [name],
    outputs: [output],
    attributes: {},
  }));
  const watched: Graph = {
    ...graph,
    nodes: [...graph.nodes, ...copies],
    outputs: observed.map(({ output }) => ({ name: output, dataType: 'float32', dims: [batch, `${output}.size`] })),
  };
  const model = writeOnnx(applyPasses(watched, [addImageInput(preprocessing)]));
  const histograms = new Map(observed.map(({ output }) => [output, new Histogram()]));
  await images.run({ id: 'calibrate', model, weightsFolder }, (outputs) => {
    for (const [output, histogram] of histograms) histogram.add(expectTensor(outputs, output, 'float32').data);
  });
  return new Map(observed.map(({ name, output }) => [name, clipRange(histograms.get(output)!, clipping)]));
}
