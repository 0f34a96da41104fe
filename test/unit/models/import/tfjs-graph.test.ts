/** GraphModels of TensorFlow.js: what they compute is what TensorFlow computed; what cannot be read is told by name. */
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { OperatorError } from '../../../../src/errors.js';
import { convertTfjsGraphFile } from '../../../../src/models/import/tfjs-graph-file.js';
import {
  activated,
  convert,
  expectedOutputs,
  fixture,
  importAndRun,
  inFolder,
  picture,
} from '../../../support/import.js';
import { relativeError } from '../../../support/ort.js';

const TOLERANCE = 1e-4;

/** The conversion without its thread, which takes a second to start. */
const here = (file: string) => inFolder((folder) => convertTfjsGraphFile(file, folder, {}));

const outputs = await expectedOutputs('tfjs-graph/outputs.json');
const file = (name: string): string => fixture(`tfjs-graph/${name}/model.json`);

describe.each(Object.entries(outputs))('%s', (name, { size, output }) => {
  it('computes what TensorFlow computes, and has class maps', async () => {
    const { network, conversion, logits } = await importAndRun('tfjs-graph', file(name), picture(size));
    const numbers = network.output === 'logits' ? logits : activated(logits, network.activation);
    expect(relativeError(numbers, output)).toBeLessThan(TOLERANCE);
    expect(conversion).toMatchObject({ classes: output.length, input: { size } });
    expect(network.dense).toHaveProperty('graph');
  });
});

it('reads weights in 8 bits, in several files', async () => {
  const { size, output } = outputs['operators']!;
  const { logits } = await importAndRun('tfjs-graph', file('operators-uint8'), picture(size));
  expect(relativeError(logits, output)).toBeLessThan(0.05);
});

/** A copy of a model whose nodes are changed. */
async function changed(name: string, folder: string, change: (nodes: Node[]) => void): Promise<string> {
  await cp(fixture(`tfjs-graph/${name}`), folder, { recursive: true });
  const path = join(folder, 'model.json');
  const model = JSON.parse(await readFile(path, 'utf8')) as { modelTopology: { node: Node[] } };
  change(model.modelTopology.node);
  await writeFile(path, JSON.stringify(model));
  return path;
}

interface Node {
  name: string;
  op: string;
  input?: string[];
}

describe('what is refused', () => {
  it('control flow, by its node', async () => {
    await expect(convert('tfjs-graph', file('control'))).rejects.toThrow(
      /node ".*" \((Stateless)?While\): chooses at run time what is computed; control flow cannot be read/,
    );
  });

  it.each<[string, (nodes: Node[]) => void, RegExp]>([
    [
      'an unknown operator',
      (nodes) => (nodes.find(({ op }) => op === 'Softmax')!.op = 'Bogus'),
      /node ".*" \(Bogus\): this operator cannot be read/,
    ],
    [
      'a node that there is not',
      (nodes) => (nodes.find(({ op }) => op === 'Softmax')!.input = ['gone']),
      /reads "gone", which does not exist/,
    ],
    [
      'an output that there is not',
      (nodes) => (nodes.find(({ op }) => op === 'Softmax')!.input![0]! += ':7'),
      /reads the output 7 of/,
    ],
    [
      'a circle',
      (nodes) => nodes.push({ name: 'a', op: 'Relu', input: ['b'] }, { name: 'b', op: 'Relu', input: ['a'] }),
      /^$/,
    ],
    ['the same node twice', (nodes) => nodes.push(nodes[0]!), /is given twice/],
  ])('%s', async (what, change, reason) => {
    await inFolder(async (folder) => {
      const path = await changed('keras', folder, (nodes) => {
        change(nodes);
        if (what !== 'a circle') return;
        nodes.find(({ op }) => op === 'Softmax')!.input = ['a'];
      });
      await expect(convert('tfjs-graph', path)).rejects.toThrow(
        what === 'a circle' ? 'depend on its own result' : reason,
      );
    });
  });

  it('damage, by nothing but errors for operators', async () => {
    await inFolder(async (root) => {
      const folder = join(root, 'model');
      await cp(fixture('tfjs-graph/operators'), folder, { recursive: true });
      for (const name of await readdir(folder)) {
        const bytes = await readFile(join(folder, name));
        for (let round = 0; round < 16; round += 1) {
          const at = Math.floor((bytes.length * (round + 0.5)) / 16);
          const flipped = Buffer.from(bytes);
          flipped[at]! ^= 1 << (round % 8);
          for (const damaged of [bytes.subarray(0, at), flipped]) {
            await writeFile(join(folder, name), damaged);
            await here(join(folder, 'model.json')).catch((error: unknown) =>
              expect(error).toBeInstanceOf(OperatorError),
            );
          }
        }
        await writeFile(join(folder, name), bytes);
      }
    });
  });
});
