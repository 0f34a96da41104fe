/** The topology of a LayersModel without its file: the layers, the calls, the graph and its shapes. */
import { imageShapes } from '../../../src/graph/native-shapes.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { duplicateKey } from '../../../src/models/files/json-keys.js';
import { excessOf } from '../../../src/models/files/json-limits.js';
import { buildKerasGraph } from '../../../src/models/keras/build-graph.js';
import { readKerasModel } from '../../../src/models/keras/topology.js';
import { changeJson, JSON_WORDS } from '../mutate.js';
import type { Target } from '../target.js';
import { refusingModel } from './refusing.js';
import { LAYERS, TOPOLOGY, WEIGHTS } from './tiny-layers.js';
import { TINY } from './tiny-onnx.js';

export const kerasJson: Target = {
  open: () =>
    Promise.resolve({
      seeds: [Buffer.from(JSON.stringify(TOPOLOGY))],
      words: [...LAYERS, ...JSON_WORDS],
      mutate: changeJson,
      run: (bytes) =>
        refusingModel(() => {
          if (excessOf(bytes) !== undefined) return;
          const topology = parsed(bytes.toString());
          if (topology === undefined) return;
          const dims = new Map(WEIGHTS.map(({ name, shape }) => [name, shape]));
          const { graph } = buildKerasGraph(readKerasModel(topology), { dims, keras: 2 });
          inferShapes(graph, imageShapes(graph, { batch: 1, height: TINY.size, width: TINY.size }));
        }),
    }),
};

/** Undefined if the text is no JSON, or has a key twice. */
function parsed(text: string): unknown {
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  return duplicateKey(text) === undefined ? JSON.parse(text) : undefined;
}
