import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { int } from '../../../src/graph/attributes.js';
import { graphBuilder } from '../../../src/graph/build.js';
import { mapGeometry } from '../../../src/graph/geometry.js';
import type { Attribute, DataType, Graph, Node } from '../../../src/graph/graph.js';
import { DATA_TYPE_CODES } from '../../../src/graph/onnx/data-types.js';
import { keepsPlaces, OPERATOR_FACTS, operatorsOfKind } from '../../../src/graph/operators.js';
import { SHAPE_RULES, type Known } from '../../../src/graph/shape-rules.js';
import { valueTypes } from '../../../src/graph/value-types.js';
import { openGraph, runGraph, randomTensor, type Value } from '../../support/ort.js';

const SOURCES = ['graph', 'architectures', 'models', 'runtime'].flatMap((part) =>
  readdirSync(join('src', part), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.includes('onnx_pb'))
    .map((file) => join('src', part, file)),
);

/** Where every word in quotes that begins with a capital is an operator. */
const GRAPH = join('src', 'graph');

/** But these: operators that are refused or left out, and the name of an error. */
const NO_OPERATORS = ['Resize', 'Scatter', 'Upsample', 'ZipMap', 'GraphError'];

/** Their operands are truth values. */
const LOGICAL = ['And', 'Not', 'Or', 'Xor'];

/** Gelu is an operator since then. */
const NEWEST_OPSET = 20;

const nodeOf = (op: string, attributes: Record<string, Attribute> = {}): Node => {
  return { op, name: 'node', inputs: ['x'], outputs: ['y'], attributes };
};

/** `make` between an input x [N, 3, 4, 5] and the outputs it names. */
function graphOf(
  type: DataType,
  outputs: readonly string[],
  outputType: DataType,
  make: (b: ReturnType<typeof graphBuilder>) => void,
): Graph {
  const b = graphBuilder({ name: 'operator' });
  b.input('x', type, ['N', 3, 'H', 'W']);
  make(b);
  const graph = b.finish(outputs.map((name) => ({ name, dataType: outputType, dims: ['a', 'b', 'c', 'd'] })));
  return { ...graph, opset: NEWEST_OPSET };
}

/** As many times x as the operator takes operands. */
const operandsOf = (op: string, x: string): string[] => (operatorsOfKind('broadcast').includes(op) ? [x, x] : [x]);

/** Mod of numbers that are not whole. */
const attributesOf = (op: string): Record<string, Attribute> => (op === 'Mod' ? { fmod: int(1) } : {});

const list = (...values: number[]): Known => ({ dims: [values.length], values });
const scalar = (value: number): Known => ({ dims: [], values: [value] });

describe('the table of operators', () => {
  it('has every operator once', () => {
    const table = readFileSync('src/graph/operators.ts', 'utf8');
    const rows = [...table.matchAll(/^ {2}\['[a-z-]+', '[a-z ]*', '([A-Za-z\d ]+)'\],$/gm)];
    const names = rows.flatMap(([, operators = '']) => operators.split(' '));
    expect(names.length).toBeGreaterThan(90);
    expect(names.toSorted()).toEqual([...OPERATOR_FACTS.keys()].toSorted());
  });

  it('has every operator that the source names', () => {
    const inGraph = [/'([A-Z][a-z][A-Za-z\d]*)'/g, /^ {2}([A-Z][a-z]\w+): /gm];
    const elsewhere = [/\b(?:node|nodes|operator|pairwise)\('([A-Z]\w+)'/g, /\bop (?:[!=]==) '([A-Z]\w+)'/g];
    const named = SOURCES.flatMap((file) =>
      (file.startsWith(GRAPH) ? inGraph : elsewhere).flatMap((pattern) =>
        [...readFileSync(file, 'utf8').matchAll(pattern)].map(([, op = '']) => `${op} in ${file}`),
      ),
    );
    expect(named.length).toBeGreaterThan(200);
    const isKnown = (entry: string): boolean => {
      const [op = ''] = entry.split(' ');
      return OPERATOR_FACTS.has(op) || NO_OPERATORS.includes(op);
    };
    expect(named.filter((entry) => !isKnown(entry))).toEqual([]);
  });

  it('has a shape rule for every operator, and no rule for another', () => {
    expect([...SHAPE_RULES.keys()].toSorted()).toEqual([...OPERATOR_FACTS.keys()].toSorted());
  });

  it.each(
    operatorsOfKind('identity', 'cast', 'elementwise', 'by-channel', 'across-channels', 'along-axis', 'over-map'),
  )('%s keeps the shape', (op) => {
    const x: Known = { dims: [2, 3, 4, 5] };
    expect(SHAPE_RULES.get(op)!({ node: nodeOf(op), inputs: [x] })[0]).toEqual(x);
  });

  it.each([...OPERATOR_FACTS.keys()].filter((op) => keepsPlaces({ op })))('%s keeps the places of cells', (op) => {
    const graph = graphOf('float32', ['y'], 'float32', (b) => {
      const weight = b.parameter('weight', [3, 3, 3, 3]);
      const map = b.node('Conv', ['x', weight]);
      b.node(op, [map], { output: 'y' });
    });
    expect(mapGeometry(graph, 'y')).toEqual(mapGeometry(graph, 'conv'));
  });

  it.each<[string, Known[], Record<string, Attribute>?]>([
    ...['Add', 'Sub', 'Mul', 'Div'].map((op): [string, Known[]] => [op, [list(6, 4), list(2)]]),
    ['Cast', [list(2, 3)]],
    ['Concat', [list(2), list(3)], { axis: int(0) }],
    ['Gather', [list(2, 3), list(1)]],
    ['Identity', [list(2, 3)]],
    ['Range', [scalar(0), scalar(3), scalar(1)]],
    ['Reshape', [list(2, 3), list(-1)]],
    ['Shape', [{ dims: [2, 3] }]],
    ['Slice', [list(2, 3), list(0), list(1)]],
    ['Squeeze', [list(2), list(0)]],
    ['Unsqueeze', [scalar(2), list(0)]],
  ])('the shape rule of %s knows its numbers', (op, inputs, attributes) => {
    const [result] = SHAPE_RULES.get(op)!({ node: nodeOf(op, attributes), inputs });
    expect(result!.values).toBeDefined();
    expect(OPERATOR_FACTS.get(op)!.takesSizes).toBe(true);
  });
});

/** Operators of which onnxruntime can be asked with one operand, or several alike. */
const PLAIN = operatorsOfKind('identity', 'elementwise', 'broadcast', 'global-pool', 'reduction').filter(
  // Its first input is the condition, whatever the type of the rest.
  (op) => op !== 'Where',
);

describe('what the table says, onnxruntime says too', () => {
  it.each(operatorsOfKind('elementwise', 'broadcast'))('%s works element by element', async (op) => {
    const transposed = { attributes: { perm: { type: 'ints', value: [3, 2, 1, 0] } as const } };
    const graph = graphOf('float32', ['y', 'z'], 'float32', (b) => {
      const to = (type: DataType) => ({ attributes: { to: int(DATA_TYPE_CODES[type]) } });
      const apply = (value: string): string => {
        const operand = LOGICAL.includes(op) ? b.node('Cast', [value], to('bool')) : value;
        const condition = op === 'Where' ? [b.node('Cast', [value], to('bool'))] : [];
        const inputs = [...condition, ...operandsOf(op, operand)];
        return b.node('Cast', [b.node(op, inputs, { attributes: attributesOf(op) })], to('float32'));
      };
      b.node('Identity', [apply('x')], { output: 'y' });
      const turned = apply(b.node('Transpose', ['x'], transposed));
      b.node('Transpose', [turned], { ...transposed, output: 'z' });
    });
    const x = randomTensor([2, 3, 4, 5]);
    const { y, z } = await runGraph(graph, { x }, { optimization: 'disabled' });
    expect(y!.dims).toEqual([2, 3, 4, 5]);
    expect(z).toEqual(y);
  });

  it.each(PLAIN)('the first output of %s has the type that it should have', async (op) => {
    // Celu takes float32 alone.
    const type = LOGICAL.includes(op) ? 'bool' : op === 'Celu' ? 'float32' : 'float16';
    const opens = async (outputType: DataType): Promise<boolean> => {
      const graph = graphOf(type, ['y'], outputType, (b) => {
        b.node(op, operandsOf(op, 'x'), { output: 'y', attributes: attributesOf(op) });
      });
      try {
        await (await openGraph(graph)).release();
        return true;
      } catch {
        return false;
      }
    };
    const { keepsType } = OPERATOR_FACTS.get(op)!;
    expect(await opens(type)).toBe(keepsType);
    if (!keepsType) expect(await opens('bool')).toBe(true);
  });

  it.each(operatorsOfKind('elementwise').filter((op) => OPERATOR_FACTS.get(op)!.suitsHalf))(
    '%s of a large number does not leave the range of half precision',
    async (op) => {
      const graph = graphOf('float32', ['y'], 'float32', (b) => b.node(op, ['x'], { output: 'y' }));
      const x: Value = { dims: [1, 3, 1, 1], data: Float32Array.of(-60000, 0.5, 60000) };
      const { y } = await runGraph(graph, { x });
      for (const value of y!.data) expect(Math.abs(Number(value))).toBeLessThanOrEqual(65504);
    },
  );
});

it('leaves the type of a value unknown behind an operator that it does not know', () => {
  const graph = graphOf('float32', ['z'], 'float32', (b) => {
    b.node('Relu', [b.node('Unheard', [b.node('Relu', ['x'])])], { output: 'z' });
  });
  expect([...valueTypes(graph)]).toEqual([
    ['x', 'float32'],
    ['relu', 'float32'],
  ]);
});
