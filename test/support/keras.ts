/** Writes Keras' HDF5 files as Keras does, by another build of the library than the one that reads them. */
import { File, type Group, ready } from 'h5wasm/node';
import { generatedValues } from '../../src/models/networks/generated-weights.js';
import { elementCount } from '../../src/tensor.js';

/** `layer/kind` → sizes as Keras has them, in the order of the file. */
export type KerasShapes = Readonly<Record<string, readonly number[]>>;

export interface KerasLayout {
  /** The group that holds the layers: the file itself for weights alone, `model_weights` for a whole net. */
  readonly root?: 'model_weights';
  /** The attributes with names hold texts of a fixed length, as in old files. Default: of any length. */
  readonly fixedLength?: boolean;
  /** The name of a layer's weight in its group, which differs between Keras' versions. */
  readonly nameOf?: (layer: string, kind: string) => string;
  readonly valuesOf?: (layer: string, kind: string, shape: readonly number[]) => Float32Array;
}

export async function writeKerasFile(path: string, shapes: KerasShapes, layout: KerasLayout = {}): Promise<void> {
  await ready;
  const { nameOf = (layer, kind) => `${layer}/${kind}`, valuesOf = generatedKerasValues } = layout;
  const file = new File(path, 'w');
  const root: Group = layout.root === undefined ? file : file.create_group(layout.root);
  const layers = [...new Set(Object.keys(shapes).map((name) => name.split('/')[0]!))];
  setTexts(root, 'layer_names', layers, layout);
  for (const layer of layers) {
    const group = root.create_group(layer);
    const weights = Object.entries(shapes).flatMap(([name, shape]) => {
      const [owner = '', kind = ''] = name.split('/');
      return owner === layer ? [{ kind, shape, name: nameOf(layer, kind) }] : [];
    });
    const names = weights.map(({ name }) => name);
    setTexts(group, 'weight_names', names, layout);
    for (const { kind, shape, name } of weights) {
      const [last = '', folder] = name.split('/').toReversed();
      const owner = folder === undefined ? group : ((group.get(folder) as Group | null) ?? group.create_group(folder));
      owner.create_dataset({ name: last, data: valuesOf(layer, kind, shape), shape: [...shape] });
    }
  }
  file.close();
}

function setTexts(group: Group, name: string, texts: readonly string[], { fixedLength = false }: KerasLayout): void {
  if (texts.length === 0) return;
  const length = Math.max(...texts.map((text) => text.length));
  group.create_attribute(name, [...texts], null, fixedLength ? `S${length}` : 'S');
}

const KINDS: Readonly<Record<string, string>> = {
  kernel: 'weight',
  gamma: 'weight',
  beta: 'bias',
  bias: 'bias',
  moving_mean: 'running_mean',
  moving_variance: 'running_var',
};

/** Values as in test/fixtures/weight-names/generate_keras.py: generated as [out, in, h, w] or [out, in]. */
export function generatedKerasValues(layer: string, kind: string, shape: readonly number[]): Float32Array {
  const name = `${layer}.${KINDS[kind]!}`;
  const [out = 1] = shape.slice(-1);
  const [height, width, inputs] = shape.length === 4 ? [shape[0]!, shape[1]!, shape[2]!] : [1, 1, shape[0]!];
  if (shape.length === 1) return generatedValues(name, shape);
  const from = generatedValues(name, shape.length === 4 ? [out, inputs, height, width] : [out, inputs]);
  const to = new Float32Array(elementCount(shape));
  const cells = height * width;
  for (let o = 0, i = 0; o < out; o += 1) {
    for (let c = 0; c < inputs; c += 1) {
      for (let cell = 0; cell < cells; cell += 1, i += 1) to[(cell * inputs + c) * out + o] = from[i]!;
    }
  }
  return to;
}
