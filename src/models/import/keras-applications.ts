/** Weights of Keras' applications in an HDF5 file, for an architecture that somebody states: copied as they are. */
import { join } from 'node:path';
import { isArchitecture } from '../../architectures/index.js';
import { copyModelFile } from '../files/file-access.js';
import { KERAS_ARCHITECTURES } from '../keras-applications/sources.js';
import { OperatorError } from '../../errors.js';
import { unknownArchitecture, type Conversion, type Converter } from './conversion.js';

const WEIGHTS_FILE = 'weights.h5';

/** The Converter of such files. How many classes there are, the labels tell. */
export const convertKerasApplication: Converter = async (file, folder, { architecture = '' }): Promise<Conversion> => {
  if (!isArchitecture(architecture)) throw unknownArchitecture(architecture);
  if (!KERAS_ARCHITECTURES.includes(architecture)) {
    const names = KERAS_ARCHITECTURES.join(', ');
    throw new OperatorError(
      `--architecture ${architecture}: has no weights in Keras; these architectures have: ${names}`,
    );
  }
  const sha256 = await copyModelFile(file, join(folder, WEIGHTS_FILE));
  return { model: { architecture, weights: { file: WEIGHTS_FILE, sha256 } }, notes: [] };
};
