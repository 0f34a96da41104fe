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

it('refuses a part that depends on more', () => {
  expect(() => applyPass(net, cutOut({ from: ['layer1.0.relu1'], to: ['layer1.0.relu'] }, shapes))).toThrow(
    '"layer1.0.relu" depend on more than "layer1.0.relu1"',
  );
});
