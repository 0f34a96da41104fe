import { expect, it } from 'vitest';
import { graphBuilder } from '../../../../src/graph/build.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { LOGITS } from '../../../../src/graph/passes/name-logits.js';
import { tapValues } from '../../../../src/graph/passes/tap-values.js';
import { producersOf } from '../../../../src/graph/rewrite.js';
import { expectClose, randomTensor, runGraph } from '../../../support/ort.js';
import { narrowNet } from '../../../support/tiny-graphs.js';

const net = narrowNet('resnet18');
const size = 64;
const relu = net.nodes.find(({ op }) => op === 'Relu')!.outputs[0]!;
const pooled = net.nodes.find(({ op }) => op === 'GlobalAveragePool')!.outputs[0]!;

it('gives inner values beside the logits, which stay the same, at any size', async () => {
  const tapped = applyPasses(net, [tapValues([relu, pooled], size)]);
  expect(tapped.nodes).toBe(net.nodes);
  for (const side of [size, 96]) {
    const input = randomTensor([2, 3, side, side]);
    const outputs = await runGraph(tapped, { input });
    expectClose(outputs[LOGITS], (await runGraph(net, { input }))[LOGITS]);
    expect(outputs[relu]!.dims).toEqual([2, 8, side / 2, side / 2]);
    // The tap is the value itself: what the head makes of it are the logits.
    expect(outputs[pooled]!.dims).toEqual([2, 64, 1, 1]);
    const rest = { ...net, inputs: [{ name: pooled, dataType: 'float32', dims: ['N', 64, 1, 1] }] as const };
    const behind = { ...rest, nodes: net.nodes.slice(net.nodes.indexOf(producersOf(net).get(pooled)!) + 1) };
    expectClose((await runGraph(behind, { [pooled]: outputs[pooled]! }))[LOGITS], outputs[LOGITS]);
  }
});

it('does not match where all of them are outputs', () => {
  expect(applyPass(net, tapValues([LOGITS], size))).toBeUndefined();
  expect(applyPass(net, tapValues([], size))).toBeUndefined();
});

it('names a value twice once', () => {
  expect(applyPasses(net, [tapValues([relu, relu], size)]).outputs.map(({ name }) => name)).toEqual([LOGITS, relu]);
});

it.each([
  ['nothing', 'no node makes it'],
  [net.inputs[0]!.name, 'no node makes it'],
])('refuses %s', (name, why) => {
  expect(() => applyPass(net, tapValues([name], size))).toThrow(`the value "${name}" cannot be tapped: ${why}`);
});

it('knows the type of what has been dequantized', () => {
  const builder = graphBuilder({ name: 'quantized' });
  const x = builder.input('x', 'float32', ['N', 4]);
  const scale = builder.constant('scale', 'float32', [], [0.1]);
  const codes = builder.node('QuantizeLinear', [x, scale], { name: 'codes' });
  const back = builder.node('Relu', [builder.node('DequantizeLinear', [codes, scale])], { name: 'back' });
  const graph = builder.finish([{ name: builder.node('Neg', [back]), dataType: 'float32', dims: ['N', 4] }]);
  const tapped = applyPasses(graph, [tapValues(['codes', 'back'], 1)]);
  expect(tapped.outputs.slice(1).map(({ name, dataType }) => [name, dataType])).toEqual([
    ['codes', 'uint8'],
    ['back', 'float32'],
  ]);
});

it('refuses a value whose type sessions cannot give', () => {
  const half = {
    ...net,
    nodes: net.nodes.map((node) =>
      node.outputs[0] === relu
        ? { ...node, op: 'Cast', attributes: { to: { type: 'int', value: 10 } as const } }
        : node,
    ),
  };
  expect(() => applyPass(half, tapValues([relu], size))).toThrow('its type is float16');
});
