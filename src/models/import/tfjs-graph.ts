/**
 * TensorFlow.js' GraphModels as ONNX: what its converter makes of SavedModels, Keras models and modules of TensorFlow Hub.
 */
import { onThread } from './thread.js';

/** Reads `model.json` and the files of weights beside it. Throws ModelFileError naming the node and its operator. */
export const convertTfjsGraph = onThread('tfjs-graph');
