/** ONNX files without a file: the outline, the graph, and what is made of it. Thousands a second. */
import { readOnnxInPlace } from '../../../src/graph/onnx/model.js';
import { importClassifier } from '../../../src/models/networks/import-classifier.js';
import { check, type Target } from '../target.js';
import { refusingModel } from './refusing.js';
import { inlineFiles, OPERATORS, TINY } from './tiny-onnx.js';

export const onnxBytes: Target = {
  open: () =>
    Promise.resolve({
      seeds: inlineFiles(),
      words: OPERATORS,
      run: (bytes) =>
        refusingModel(async () => {
          const read = (position: number, length: number): Promise<Uint8Array> => {
            check(position >= 0 && length >= 0 && position + length <= bytes.length, 'only bytes of the file are read');
            return Promise.resolve(bytes.subarray(position, position + length));
          };
          const graph = await readOnnxInPlace({ size: bytes.length, read }, 'model.onnx');
          importClassifier(graph, TINY);
        }),
    }),
};
