/**
 * Exports of Teachable Machine for images: a LayersModel, and `metadata.json` with the names of the classes and the size.
 * Source: teachablemachine-community, libraries/image/src: custom-mobilenet.ts (Metadata), utils/tf.ts (capture: pixel /
 * 127.5 − 1) and utils/canvas.ts (cropTo: the centre square).
 */
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { OperatorError } from '../../errors.js';
import { readJson } from '../files/json-file.js';
import type { InputPreset } from '../manifest.js';
import type { Conversion, Converter } from './conversion.js';
import { labelsOfNames } from './label-text.js';
import { convertTfjsLayers } from './tfjs-layers.js';

const METADATA_FILE = 'metadata.json';

const metadataSchema = z.looseObject({
  packageName: z.string(),
  modelName: z.string().optional(),
  labels: z.array(z.string().min(1)).min(1),
  imageSize: z.number().int().min(8).max(4096).optional(),
  grayscale: z.boolean().optional(),
});

const USUAL_SIZE = 224;

/** How Teachable Machine prepares images of a size. */
export function teachableInput(size = USUAL_SIZE): InputPreset {
  return {
    size,
    resize: size,
    fit: 'crop',
    interpolation: 'bilinear',
    channels: 'RGB',
    range: 255,
    mean: [0.5, 0.5, 0.5],
    std: [0.5, 0.5, 0.5],
  };
}

/** The Converter of exports for TensorFlow.js; `file` is their model.json. */
export const convertTeachableMachine: Converter = async (file, folder, stated): Promise<Conversion> => {
  const kind = await readJson(join(dirname(file), METADATA_FILE), z.looseObject({ packageName: z.string() }));
  const { packageName } = kind.value;
  if (!packageName.endsWith('/image')) {
    throw new OperatorError(
      `${file}: is a model of Teachable Machine, but not for images: ${packageName.slice(0, 80)}`,
    );
  }
  const { value: metadata } = await readJson(join(dirname(file), METADATA_FILE), metadataSchema);
  const conversion = await convertTfjsLayers(file, folder, stated);
  return {
    ...conversion,
    labels: labelsOfNames(metadata.labels),
    input: teachableInput(metadata.imageSize),
    notes: [
      ...conversion.notes,
      ...(metadata.grayscale === true
        ? ['Teachable Machine turned its pictures grey before; here they keep their colours']
        : []),
    ],
  };
};
