/**
 * Whole Keras models, `.h5` and `.keras`, as a TensorFlow.js LayersModel: the same layers, and the weights in one file.
 */
import { onThread } from './thread.js';

/** Reads the models of Keras 1 to 3. Throws ModelFileError naming the layer, the weight or the part of the file. */
export const convertKeras = onThread('keras');
