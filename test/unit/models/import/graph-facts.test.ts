import { describe, expect, it } from 'vitest';
import { float, int, ints } from '../../../../src/graph/attributes.js';
import { graphBuilder, type GraphBuilder } from '../../../../src/graph/build.js';
import type { DataType, Dim, Graph } from '../../../../src/graph/graph.js';
import { describeGraph } from '../../../../src/models/import/graph-facts.js';

/** A classifier of 7 classes behind `before`, whose result has channels first. */
function classifier(
  before: (builder: GraphBuilder, image: string) => string,
  { dims = ['N', 3, 32, 32], dataType = 'float32' }: { dims?: readonly Dim[]; dataType?: DataType } = {},
): Graph {
  const builder = graphBuilder({ name: 'net' });
  const x = before(builder, builder.input('image', dataType, dims));
  const weights = Array<number>(7 * 3).fill(0.1);
  const map = builder.node('Conv', [x, builder.constant('w', 'float32', [7, 3, 1, 1], weights)]);
  const scores = builder.node('Flatten', [builder.node('GlobalAveragePool', [map])]);
  return builder.finish([{ name: scores, dataType: 'float32', dims: ['N', 'K'] }]);
}

const same = (_: GraphBuilder, x: string): string => x;
const by =
  (op: string, ...values: readonly number[]) =>
  (builder: GraphBuilder, x: string): string =>
    builder.node(op, [x, builder.constant('c', 'float32', [values.length, 1, 1], values)]);
const RAW = { range: 1, mean: [0, 0, 0], std: [1, 1, 1] };
const UNIT = { range: 255, mean: [0, 0, 0], std: [1, 1, 1] };

describe('the graph of a classifier', () => {
  it.each<[string, Graph, number | undefined]>([
    ['tells its size and classes', classifier(same), 32],
    ['may leave its size free', classifier(same, { dims: ['N', 3, 'H', 'W'] }), undefined],
    [
      'may have channels last',
      classifier((b, x) => b.node('Transpose', [x], { attributes: { perm: ints(0, 3, 1, 2) } }), {
        dims: ['N', 32, 32, 3],
      }),
      32,
    ],
    [
      'may have channels last and a free size',
      classifier((b, x) => b.node('Transpose', [x], { attributes: { perm: ints(0, 3, 1, 2) } }), {
        dims: ['N', 'H', 'W', 3],
      }),
      undefined,
    ],
  ])('%s', (_, graph, size) => {
    expect(describeGraph(graph)).toEqual({ size, isGrey: false, classes: 7, pixels: undefined });
  });

  it.each<[string, Graph, object | undefined]>([
    ['divides by 255', classifier(by('Div', 255)), RAW],
    [
      'multiplies by 1/127.5, as Rescaling does',
      classifier((b, x) => by('Add', -1)(b, by('Mul', 1 / 127.5)(b, x))),
      RAW,
    ],
    [
      'subtracts and divides for each channel',
      classifier((b, x) => by('Div', 58, 57, 57)(b, by('Sub', 123, 116, 103)(b, x))),
      RAW,
    ],
    [
      'divides by 255 and then by the deviation',
      classifier((b, x) => by('Div', 0.229, 0.224, 0.225)(b, by('Div', 255)(b, x))),
      RAW,
    ],
    [
      'normalizes numbers from 0 to 1',
      classifier((b, x) => by('Div', 0.229, 0.224, 0.225)(b, by('Sub', 0.485, 0.456, 0.406)(b, x))),
      UNIT,
    ],
    [
      'makes numbers from −1 to 1 of those from 0 to 1',
      classifier((b, x) => by('Sub', 1)(b, by('Mul', 2)(b, x))),
      UNIT,
    ],
    ['subtracts a mean alone', classifier(by('Sub', 120, 115, 100)), RAW],
    ['subtracts what Caffe subtracts', classifier(by('Sub', 103.939, 116.779, 123.68)), { ...RAW, channels: 'BGR' }],
    [
      'normalizes by BatchNormalization',
      classifier((b, x) => {
        const of = (name: string, ...values: number[]): string => b.constant(name, 'float32', [3], values);
        const numbers = [of('s', 1, 1, 1), of('o', 0, 0, 0), of('m', 120, 120, 120), of('v', 3000, 3000, 3000)];
        return b.node('BatchNormalization', [x, ...numbers], { attributes: { epsilon: float(1e-5) } });
      }),
      RAW,
    ],
    [
      'takes bytes',
      classifier((b, x) => b.node('Cast', [x], { attributes: { to: int(1) } }), { dataType: 'uint8' }),
      RAW,
    ],
    [
      'takes whole numbers',
      classifier((b, x) => b.node('Cast', [x], { attributes: { to: int(1) } }), { dataType: 'int32' }),
      RAW,
    ],
    ['begins with another layer', classifier((b, x) => b.node('Relu', [x])), undefined],
    ['adds the image to itself', classifier((b, x) => b.node('Add', [x, x])), undefined],
    ['divides by zero', classifier(by('Div', 0)), undefined],
  ])('that %s says what pixels it takes', (_, graph, pixels) => {
    expect(describeGraph(graph).pixels).toEqual(pixels);
  });
});
