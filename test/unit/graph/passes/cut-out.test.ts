import { expect, it } from 'vitest';
import { nativeShapes } from '../../../../src/graph/native-shapes.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { cutOut } from '../../../../src/graph/passes/cut-out.js';
import { LOGITS } from '../../../../src/graph/passes/name-logits.js';
import { tapValues } from '../../../../src/graph/passes/tap-values.js';
import { expectClose, randomTensor, runGraph } from '../../../support/ort.js';
import { narrowNet } from '../../../support/tiny-graphs.js';

const net = narrowNet('resnet18');
const shapes = nativeShapes(net, 64);
const [from, to] = ['layer2.0.relu', 'layer3.0.relu'];

it('gives, fed with the values of the whole, the values of the whole', async () => {
  const input = randomTensor([2, 3, 64, 64]);
  const whole = await runGraph(applyPasses(net, [tapValues([from, to], 64)]), { input });
  const part = applyPasses(net, [cutOut({ from: [from], to: [to] }, shapes)]);
  expectClose((await runGraph(part, { [from]: whole[from]! }))[to], whole[to]);
  const head = applyPasses(net, [cutOut({ from: [to], to: [LOGITS] }, shapes)]);
  expectClose((await runGraph(head, { [to]: whole[to]! }))[LOGITS], whole[LOGITS]);
});

it('gives several values at once', async () => {
  const values = ['layer3.0.bn2', 'layer3.0.downsample.1'];
  const part = applyPasses(net, [cutOut({ from: [from], to: values }, shapes)]);
  expect(Object.keys(await runGraph(part, { [from]: randomTensor(shapes.get(from)!) }))).toEqual(values);
});

it('refuses a part that depends on more, and values of unknown shape', () => {
  expect(() => applyPass(net, cutOut({ from: ['layer1.0.relu1'], to: ['layer1.0.relu'] }, shapes))).toThrow(
    '"layer1.0.relu" depend on more than "layer1.0.relu1"',
  );
  expect(() => applyPass(net, cutOut({ from: ['absent'], to: [to] }, shapes))).toThrow('the shape of "absent"');
});
