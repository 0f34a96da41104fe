import { describe, expect, it } from 'vitest';
import { int, ints } from '../../../src/graph/attributes.js';
import { graphBuilder } from '../../../src/graph/build.js';
import { effectiveOffset } from '../../../src/graph/effective-centre.js';
import { mapGeometry, type KernelCentre } from '../../../src/graph/geometry.js';
import type { Graph } from '../../../src/graph/graph.js';

/** Two convolutions that halve and one around a shortcut, padded as TensorFlow does. */
function net(): Graph {
  const b = graphBuilder({ name: 'net' });
  const halve = (x: string, name: string): string =>
    b.node('Conv', [x, b.parameter(`${name}.weight`, [3, 3, 3, 3])], {
      name,
      attributes: { strides: ints(2, 2), pads: ints(0, 0, 2, 2) },
    });
  const y = halve(halve(b.input('x', 'float32', ['N', 3, 'H', 'W']), 'a'), 'b');
  const z = b.node('Conv', [y, b.parameter('c.weight', [3, 1, 3, 3])], {
    name: 'c',
    attributes: { pads: ints(2, 2, 2, 2), dilations: ints(2, 2), group: int(3) },
  });
  const sum = b.node('Add', [z, y], { output: 'map' });
  return b.finish([{ name: sum, dataType: 'float32', dims: ['N', 3, 'h', 'w'] }]);
}

const centre = (y: number, x: number, variance = 0): KernelCentre => [
  { value: y, variance },
  { value: x, variance },
];

describe('effectiveOffset', () => {
  it('is the middle of the receptive field where no centre is known, or all are in the middle', () => {
    const { offset } = mapGeometry(net(), 'map');
    expect(offset).toBe(3.5);
    expect(effectiveOffset(net(), 'map', new Map())).toBe(offset);
    expect(effectiveOffset(net(), 'map', new Map([['a.weight', centre(0, 0)]]))).toBe(offset);
  });

  it('adds the centres up, each times the pixels between its cells, dilation included', () => {
    expect(effectiveOffset(net(), 'map', new Map([['a.weight', centre(-0.5, -0.5)]]))).toBe(3);
    expect(effectiveOffset(net(), 'map', new Map([['b.weight', centre(-0.5, -0.5)]]))).toBe(2.5);
    const both = new Map([['a.weight', centre(-0.5, -0.5)] as const, ['b.weight', centre(-0.5, -0.5)] as const]);
    expect(effectiveOffset(net(), 'map', both)).toBe(2);
    // Behind the shortcut: 0.25 cells of dilation 2 and 4 pixels.
    expect(effectiveOffset(net(), 'map', new Map([['c.weight', centre(0.25, 0.25)]]))).toBe(5.5);
  });

  it('is the mean of both axes', () => {
    expect(effectiveOffset(net(), 'map', new Map([['b.weight', centre(-0.5, -0.1)]]))).toBe(2.9);
  });

  it('leaves out what may be chance: less than a sixteenth of the output stride', () => {
    expect(effectiveOffset(net(), 'map', new Map([['a.weight', centre(-0.2, -0.2)]]))).toBe(3.5);
    expect(effectiveOffset(net(), 'map', new Map([['a.weight', centre(-0.3, -0.3)]]))).toBe(3.2);
  });

  it('leaves out what may be chance: less than three standard errors', () => {
    // 0.5 cells of 2 pixels, each with a standard error of 0.3 · 2 and 0.4 · 2 pixels.
    expect(effectiveOffset(net(), 'map', new Map([['b.weight', centre(-0.5, -0.5, 0.02)]]))).toBe(2.5);
    expect(effectiveOffset(net(), 'map', new Map([['b.weight', centre(-0.5, -0.5, 0.03)]]))).toBe(3.5);
  });
});
