/**
 * ONNX files: copied as they are, with their files of external weights. Labels and input size come from the metadata where
 * an exporter left them.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { OperatorError } from '../../errors.js';
import { copyModelFile } from '../files/file-access.js';
import { explain, ModelFileError } from '../files/model-file-error.js';
import { readOnnxFile } from '../files/onnx-file.js';
import { MANIFEST_FILE, ONNX, type InputPreset, type Label } from '../manifest.js';
import type { Conversion, Converter } from './conversion.js';
import { describeGraph } from './graph-facts.js';
import { LABELS_FILE } from './label-files.js';
import { readLabels } from './label-text.js';
import { readOnnxMetadata, type OnnxMetadata } from './onnx-metadata.js';

const WEIGHTS_FILE = 'model.onnx';

/** Keys of `metadata_props` under which exporters keep the names of classes. */
const LABEL_KEYS = ['names', 'id2label', 'labels', 'classes', 'class_names', 'class_labels'];

/** The Converter of ONNX files. */
export const convertOnnx: Converter = async (file, folder): Promise<Conversion> => {
  const { graph, files } = await readOnnxFile(file);
  const metadata = await readOnnxMetadata(file);
  refuseDetectors(file, metadata);
  const [own, ...others] = files;
  const taken = new Set([MANIFEST_FILE, LABELS_FILE]);
  const isOwn = own.name === WEIGHTS_FILE || !others.some(({ name }) => normalize(name) === WEIGHTS_FILE);
  const name = isOwn ? WEIGHTS_FILE : own.name;
  for (const other of others) {
    const path = normalize(other.name);
    if (taken.has(path)) throw new ModelFileError(file, 'file', `keeps weights in a file that is called ${path}`);
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await copyModelFile(join(dirname(file), other.name), join(folder, path));
  }
  const sha256 = await copyModelFile(file, join(folder, name));
  const { producer } = metadata;
  return {
    model: { architecture: ONNX, weights: { file: name, sha256 } },
    classes: await explain(file, () => describeGraph(graph).classes),
    labels: labelsOf(metadata),
    input: inputOf(metadata),
    notes: producer === '' ? [] : [`written by ${producer}`],
  };
};

function labelsOf({ properties }: OnnxMetadata): Label[] | undefined {
  for (const key of LABEL_KEYS) {
    const labels = readLabels(properties.get(key) ?? '');
    if (labels !== undefined && (labels.length > 1 || /^[[{]/.test(properties.get(key)!.trim()))) return labels;
  }
  return undefined;
}

const isUltralytics = ({ properties }: OnnxMetadata): boolean => /ultralytics/i.test(properties.get('author') ?? '');

/** The classifiers of Ultralytics take RGB from 0 to 1, the centre of the image. Source: data/augment.py, classify_transforms. */
function inputOf(metadata: OnnxMetadata): Partial<InputPreset> | undefined {
  if (!isUltralytics(metadata)) return undefined;
  const [, side] = /^\[(\d{1,4}), \1\]$/.exec(metadata.properties.get('imgsz') ?? '') ?? [];
  const size = side === undefined ? undefined : Number(side);
  return {
    ...(size !== undefined && { size, resize: size }),
    interpolation: 'bilinear',
    channels: 'RGB',
    range: 255,
    mean: [0, 0, 0],
    std: [1, 1, 1],
  };
}

function refuseDetectors(file: string, metadata: OnnxMetadata): void {
  const task = metadata.properties.get('task');
  if (!isUltralytics(metadata) || task === undefined || task === 'classify') return;
  throw new OperatorError(
    `${file}: is a net of Ultralytics for the task "${task.slice(0, 40)}"; only image classifiers can be served ` +
      '(task "classify", as yolo11n-cls)',
  );
}
