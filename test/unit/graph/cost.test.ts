import { describe, expect, it } from 'vitest';
import { ARCHITECTURE_NAMES, buildArchitecture, type ArchitectureName } from '../../../src/architectures/index.js';
import { countMultiplyAdds, countParameters } from '../../../src/graph/cost.js';
import { inferShapes } from '../../../src/graph/shapes.js';

/** Trainable parameters and multiply-adds at 224×224 in billions, from torchvision's documentation. */
const PUBLISHED: Record<ArchitectureName, [parameters: number, gigaMultiplyAdds: number]> = {
  vgg11: [132863336, 7.61],
  vgg11_bn: [132868840, 7.61],
  vgg13: [133047848, 11.31],
  vgg13_bn: [133053736, 11.31],
  vgg16: [138357544, 15.47],
  vgg16_bn: [138365992, 15.47],
  vgg19: [143667240, 19.63],
  vgg19_bn: [143678248, 19.63],
  resnet18: [11689512, 1.81],
  resnet34: [21797672, 3.66],
  resnet50: [25557032, 4.09],
  resnet101: [44549160, 7.8],
  resnet152: [60192808, 11.51],
};

describe.each(ARCHITECTURE_NAMES)('the cost of %s', (name) => {
  const graph = buildArchitecture(name);
  const [parameters, gigaMultiplyAdds] = PUBLISHED[name];

  it('counts the published number of parameters', () => {
    expect(countParameters(graph)).toBe(parameters);
  });

  it('counts the published multiply-adds', () => {
    const shapes = inferShapes(graph, { input: [1, 3, 224, 224] });
    expect(Math.abs(countMultiplyAdds(graph, shapes) / 1e9 - gigaMultiplyAdds)).toBeLessThan(0.0101);
  });
});
