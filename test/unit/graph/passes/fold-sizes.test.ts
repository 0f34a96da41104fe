import { expect, it } from 'vitest';
import { int, ints } from '../../../../src/graph/attributes.js';
import { inlineConstant, integerValues } from '../../../../src/graph/constants.js';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { foldSizes } from '../../../../src/graph/passes/fold-sizes.js';
import { expectClose, randomTensor, runGraph } from '../../../support/ort.js';
import { graphOf, output, tinyResNet } from '../../../support/tiny-graphs.js';

/** torch.nn.functional.pad as its exporter writes it: the padding of [left, right, top, bottom], brought into ONNX's order. */
const padded = graphOf([1, 2, 'H', 'W'], (b, x) => {
  const given = b.constant('given', 'int64', [4], [1, 2, 3, 4]);
  const zeros = b.node('ConstantOfShape', [b.constant('count', 'int64', [1], [4])], {
    attributes: { value: { type: 'tensor', value: inlineConstant('zero', 'int64', [1], [0]) } },
  });
  const all = b.node('Concat', [given, zeros], { attributes: { axis: int(0) } });
  const pairs = b.node('Reshape', [all, b.constant('pairs', 'int64', [2], [-1, 2])]);
  const bounds = [[-1], [-9007199254740991], [0], [-1]].map((value, index) =>
    b.constant(`bound${index}`, 'int64', [1], value),
  );
  const turned = b.node('Slice', [pairs, ...bounds]);
  const ordered = b.node('Transpose', [turned], { attributes: { perm: ints(1, 0) } });
  const flat = b.node('Reshape', [ordered, b.constant('flat', 'int64', [1], [-1])]);
  const pads = b.node('Cast', [flat], { name: 'pads', attributes: { to: int(7) } });
  return [output(b.node('Pad', [x, pads]))];
});

it('computes the padding that an exporter wrote out, as the engine does', async () => {
  const folded = applyPasses(padded, [foldSizes()]);
  expect(folded.nodes.map(({ op }) => op)).toEqual(['Pad']);
  expect(integerValues(folded.initializers.get('pads')!)).toEqual([0, 0, 3, 1, 0, 0, 4, 2]);
  const x = randomTensor([1, 2, 5, 6]);
  const [before] = Object.values(await runGraph(padded, { x }));
  expectClose(Object.values(await runGraph(folded, { x }))[0], before);
});

it('leaves what has no number: division by 0', () => {
  const byZero = graphOf(['N', 2, 'H', 'W'], (b, x) => {
    const [four, zero] = [b.constant('four', 'int64', [1], [4]), b.constant('zero', 'int64', [1], [0])];
    const sizes = [b.node('Div', [four, zero]), b.constant('rest', 'int64', [1], [-1])];
    return [output(b.node('Reshape', [x, b.node('Concat', sizes, { attributes: { axis: int(0) } })]))];
  });
  expect(applyPass(byZero, foldSizes())).toBeUndefined();
});

it('leaves what comes from the image, or its size', () => {
  expect(applyPass(tinyResNet(), foldSizes())).toBeUndefined();
  const ofShape = graphOf(['N', 2, 'H', 'W'], (b, x) => {
    const shape = b.node('Shape', [x]);
    return [output(b.node('Expand', [x, shape]))];
  });
  expect(applyPass(ofShape, foldSizes())).toBeUndefined();
});

it('computes what comes from the channels of a map, and leaves what comes from its height', async () => {
  const ofChannels = graphOf(['N', 2, 'H', 'W'], (b, x) => {
    const size = (axis: number): string =>
      b.node('Gather', [b.node('Shape', [x]), b.constant('axis', 'int64', [1], [axis])]);
    const start = b.constant('start', 'int64', [1], [0]);
    const half = (axis: number): string => b.node('Div', [size(axis), b.constant('two', 'int64', [1], [2])]);
    const slice = (from: string, axis: number): string =>
      b.node('Slice', [from, start, half(axis), b.constant('axis', 'int64', [1], [axis])]);
    return [output(slice(slice(x, 1), 2))];
  });
  const folded = applyPasses(ofChannels, [foldSizes(8)]);
  expect(folded.nodes.map(({ op }) => op)).toEqual(['Slice', 'Shape', 'Gather', 'Div', 'Slice']);
  const x = randomTensor([2, 2, 5, 6]);
  const [before] = Object.values(await runGraph(ofChannels, { x }));
  expectClose(Object.values(await runGraph(folded, { x }))[0], before);
  // Of one size, all could be computed, and the net could take no other.
  const inputs = [{ name: 'x', dataType: 'float32', dims: [1, 2, 8, 8] }] as const;
  expect(applyPass({ ...ofChannels, inputs }, foldSizes(8))).toBeUndefined();
});

it('computes the padding of the native size where it is computed in floating point, as TensorFlow pads', async () => {
  const graph = graphOf(['N', 2, 'H', 'W'], (b, x) => {
    const to = (value: string, type: number): string => b.node('Cast', [value], { attributes: { to: int(type) } });
    const number = (value: number): string => b.constant('number', 'float32', [], [value]);
    const total = (axis: number): string => {
      const size = to(b.node('Gather', [b.node('Shape', [x]), b.constant('axis', 'int64', [1], [axis])]), 1);
      const windows = b.node('Ceil', [b.node('Div', [size, number(2)])]);
      const last = b.node('Mul', [b.node('Sub', [windows, number(1)]), number(2)]);
      return b.node('Clip', [b.node('Sub', [b.node('Add', [last, number(3)]), size]), number(0)]);
    };
    const none = b.constant('none', 'int64', [1], [0]);
    const half = (axis: number): string => to(b.node('Floor', [b.node('Div', [total(axis), number(2)])]), 7);
    const rest = (axis: number): string => b.node('Sub', [to(total(axis), 7), half(axis)]);
    const pads = [none, none, half(2), half(3), none, none, rest(2), rest(3)];
    const joined = b.node('Concat', pads, { name: 'pads', attributes: { axis: int(0) } });
    return [output(b.node('Pad', [x, joined]))];
  });
  const folded = applyPasses(graph, [foldSizes({ height: 8, width: 7 })]);
  expect(folded.nodes.map(({ op }) => op)).toEqual(['Pad']);
  expect(integerValues(folded.initializers.get('pads')!)).toEqual([0, 0, 0, 1, 0, 0, 1, 1]);
  const x = randomTensor([2, 2, 8, 7]);
  const [before] = Object.values(await runGraph(graph, { x }));
  expectClose(Object.values(await runGraph(folded, { x }))[0], before);
});
