import { describe, expect, it } from 'vitest';
import { buildArchitecture, nativeForm, type ArchitectureName } from '../../../src/architectures/index.js';
import { int, ints } from '../../../src/graph/attributes.js';
import { mapGeometry } from '../../../src/graph/geometry.js';
import { GraphError } from '../../../src/graph/graph-error.js';
import { applyPasses } from '../../../src/graph/pass.js';
import { addImageInput } from '../../../src/graph/passes/add-image-input.js';
import { CLASS_MAP, convolutionalizeGemm } from '../../../src/graph/passes/convolutionalize-gemm.js';
import { convolutionalizeGlobalPool } from '../../../src/graph/passes/convolutionalize-global-pool.js';
import { withClassMap } from '../../support/class-map.js';
import { graphOf } from '../../support/tiny-graphs.js';

const BGR = { channels: 'BGR', range: 1, mean: [104, 117, 123], std: [1, 1, 1] } as const;

const pooled = (name: ArchitectureName, options = {}) =>
  mapGeometry(applyPasses(buildArchitecture(name, options), [convolutionalizeGlobalPool()]), CLASS_MAP);

describe('mapGeometry', () => {
  it('centres the first window of VGG-16 at 112 pixels: half of its native 224', () => {
    const graph = applyPasses(buildArchitecture('vgg16'), [convolutionalizeGemm(224)]);
    expect(mapGeometry(graph, CLASS_MAP)).toEqual({ outputStride: 32, offset: 112, receptiveField: 404 });
  });

  it('gives the published receptive field of the trunk of VGG-16', () => {
    expect(mapGeometry(buildArchitecture('vgg16'), 'features.30')).toEqual({
      outputStride: 32,
      offset: 16,
      receptiveField: 212,
    });
  });

  it.each<[ArchitectureName, number]>([
    ['resnet18', 435],
    ['resnet34', 899],
    ['resnet50', 427],
    ['resnet101', 971],
    ['resnet152', 1451],
    // Araujo 2019, table of architectures, which has the stride on the first 1×1.
    ['resnet50_v1', 483],
    ['resnet101_v1', 1027],
    ['resnet152_v1', 1507],
  ])('derives stride 32, offset 0.5 and the receptive field of %s', (name, receptiveField) => {
    expect(pooled(name)).toEqual({ outputStride: 32, offset: 0.5, receptiveField });
  });

  it.each<[ArchitectureName, stride: number, first: number, receptiveField: number]>([
    ['inception_v4', 32, 37.5, 2071],
    ['inception_resnet_v1', 32, 37.5, 1567],
    ['inception_resnet_v1_facenet', 32, 37.5, 1631],
    ['inception_resnet_v2', 32, 37.5, 3039],
    ['polynet', 32, 37.5, 5591],
    ['nin_cifar', 4, 0.5, 27],
    ['nin_imagenet', 32, 33.5, 195],
    ['cnn_a_cifar', 4, 4.5, 27],
    ['cnn_b_cifar', 4, 4.5, 27],
    ['cnn_c_cifar', 4, 4.5, 27],
    ['strided_cnn_a_cifar', 4, 4.5, 21],
    ['strided_cnn_b_cifar', 4, 4.5, 21],
    ['strided_cnn_c_cifar', 4, 4.5, 21],
    ['convpool_cnn_a_cifar', 4, 4.5, 33],
    ['convpool_cnn_b_cifar', 4, 4.5, 33],
    ['convpool_cnn_c_cifar', 4, 4.5, 33],
    ['all_cnn_a_cifar', 4, 4.5, 27],
    ['all_cnn_b_cifar', 4, 4.5, 27],
    ['all_cnn_c_cifar', 4, 4.5, 27],
    ['all_cnn_imagenet', 32, 5.5, 195],
    ['highway19_cifar', 4, 2, 86],
    ['plain20_cifar', 4, 0.5, 81],
    ['plain32_cifar', 4, 0.5, 137],
    ['plain44_cifar', 4, 0.5, 193],
    ['plain56_cifar', 4, 0.5, 249],
    ['plain110_cifar', 4, 0.5, 501],
  ])(
    'follows the windows of %s: stride %i, first centre %f, receptive field %i',
    (name, outputStride, offset, field) => {
      const graph = withClassMap(buildArchitecture(name), nativeForm(name).inputSize);
      expect(mapGeometry(graph, CLASS_MAP)).toEqual({ outputStride, offset, receptiveField: field });
    },
  );

  it('gives the published receptive field of Inception v3, whose first windows are not padded', () => {
    expect(pooled('inception_v3')).toEqual({ outputStride: 32, offset: 37.5, receptiveField: 1311 });
  });

  it('follows padding of channels: the shortcuts of a ResNet for CIFAR', () => {
    expect(pooled('resnet20_cifar')).toEqual({ outputStride: 4, offset: 0.5, receptiveField: 81 });
  });

  it('derives the output stride of smaller stems', () => {
    expect(pooled('resnet18', { stem: 'compact' })).toMatchObject({ outputStride: 16, offset: 0.5 });
    expect(pooled('resnet18', { stem: 'cifar' })).toMatchObject({ outputStride: 8, offset: 0.5 });
  });

  it('sees through the preprocessing of the image input', () => {
    const graph = applyPasses(buildArchitecture('vgg11'), [convolutionalizeGemm(224), addImageInput(BGR)]);
    expect(mapGeometry(graph, CLASS_MAP)).toMatchObject({ outputStride: 32, offset: 112 });
  });

  const conv = { kernel_shape: ints(3, 3) };

  it('leaves squeeze and excitation out of the receptive field: it looks everywhere', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const map = b.node('Conv', [x, b.parameter('a', [3, 3, 3, 3])], { attributes: { strides: ints(2, 2) } });
      const axes = b.constant('axes', 'int64', [2], [2, 3]);
      const gate = b.node('Conv', [b.node('ReduceMean', [map, axes]), b.parameter('c', [3, 3, 1, 1])]);
      return b.node('Mul', [map, b.node('Sigmoid', [gate])], { name: 'scaled' });
    });
    expect(mapGeometry(graph, 'scaled')).toEqual({ outputStride: 2, offset: 1.5, receptiveField: 3 });
  });

  it('sees through channels that are picked, changed and put together again', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const channels = [0, 1, 2].map((channel) => {
        const index = b.constant('channel', 'int64', [], [channel]);
        const picked = b.node('Gather', [x, index], { attributes: { axis: int(1) } });
        return b.node('Unsqueeze', [picked, b.constant('axes', 'int64', [1], [1])]);
      });
      return b.node('Concat', channels, { name: 'joined', attributes: { axis: int(1) } });
    });
    expect(mapGeometry(graph, 'joined')).toEqual({ outputStride: 1, offset: 0.5, receptiveField: 1 });
  });

  it('sees through layers over channels that come last, and refuses what works along a side of the map', () => {
    const normalized = (axis: number) =>
      graphOf(['N', 3, 'H', 'W'], (b, x) => {
        const last = b.node('Transpose', [x], { attributes: { perm: ints(0, 2, 3, 1) } });
        const y = b.node('LayerNormalization', [last, b.parameter('scale', [3])], { attributes: { axis: int(axis) } });
        const layer = b.node('MatMul', [y, b.parameter('w', [3, 4])]);
        return b.node('Transpose', [layer], { name: 'planar', attributes: { perm: ints(0, 3, 1, 2) } });
      });
    expect(mapGeometry(normalized(-1), 'planar')).toEqual({ outputStride: 1, offset: 0.5, receptiveField: 1 });
    expect(() => mapGeometry(normalized(2), 'planar')).toThrow(/LayerNormalization.*works along a spatial axis/);
    const product = graphOf(['N', 3, 'H', 8], (b, x) => b.node('MatMul', [x, b.parameter('w', [8, 8])], { name: 'y' }));
    expect(() => mapGeometry(product, 'y')).toThrow(/MatMul.*works along a spatial axis/);
  });

  it('refuses a map that is sampled at places which the net computes, whatever computes them', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const flat = b.node('Flatten', [b.node('GlobalMaxPool', [x])]);
      const places = b.node('Reshape', [flat, b.constant('shape', 'int64', [4], [0, 1, 1, -1])]);
      return b.node('Relu', [b.node('GridSample', [x, places], { name: 'moved' })], { name: 'map' });
    });
    expect(() => mapGeometry(graph, 'map')).toThrow(
      `node "moved" (GridSample): the geometry behind it is each image's own`,
    );
  });

  it('takes what is computed from weights for a constant', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const axes = b.constant('axes', 'int64', [2], [1, 2]);
      return b.node('Mul', [x, b.node('Unsqueeze', [b.parameter('scale', [3]), axes])], { name: 'scaled' });
    });
    expect(mapGeometry(graph, 'scaled')).toEqual({ outputStride: 1, offset: 0.5, receptiveField: 1 });
  });

  it('unites the fields of branches that join', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const wide = b.node('Conv', [x, b.parameter('a', [3, 3, 5, 5])], { attributes: { pads: ints(2, 2, 2, 2) } });
      const late = b.node('Conv', [x, b.parameter('c', [3, 3, 3, 3])], { attributes: { pads: ints(0, 0, 2, 2) } });
      return b.node('Concat', [wide, late], { name: 'joined', attributes: { axis: int(1) } });
    });
    expect(mapGeometry(graph, 'joined')).toEqual({ outputStride: 1, offset: 0.5, receptiveField: 5 });
  });

  it('counts padding that is a node of its own, and refuses padding that depends on the size', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const pads = b.constant('pads', 'int64', [8], [0, 0, 1, 1, 0, 0, 1, 1]);
      const padded = b.node('Pad', [x, pads]);
      const attributes = { ...conv, strides: ints(2, 2) };
      const map = b.node('MaxPool', [padded], { name: 'map', attributes });
      const auto_pad = { type: 'string', value: 'SAME_UPPER' } as const;
      return b.node('MaxPool', [map], { name: 'same', attributes: { ...conv, auto_pad } });
    });
    // One row of explicit padding; a window of 3.
    expect(mapGeometry(graph, 'map')).toEqual({ outputStride: 2, offset: 0.5, receptiveField: 3 });
    expect(() => mapGeometry(graph, 'same')).toThrow(
      'node "same" (MaxPool): its padding depends on the size of its input',
    );
  });

  it.each<[string, number, boolean]>([
    ['Concat', 1, true],
    ['Concat', -3, true],
    ['Concat', 2, false],
    ['Concat', -1, false],
    ['Softmax', 1, true],
    ['Softmax', 3, false],
    ['LogSoftmax', -3, true],
    ['LogSoftmax', -1, false],
  ])('follows %s over axis %s as far as that is not spatial', (op, axis, isFollowed) => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) =>
      b.node(op, op === 'Concat' ? [x, x] : [x], { name: 'map', attributes: { axis: int(axis) } }),
    );
    if (isFollowed) expect(mapGeometry(graph, 'map')).toEqual({ outputStride: 1, offset: 0.5, receptiveField: 1 });
    else expect(() => mapGeometry(graph, 'map')).toThrow(`node "map" (${op}): it works along a spatial axis`);
  });

  it('follows no Softmax that names no axis: the last one is spatial', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => b.node('Softmax', [x], { name: 'map' }));
    expect(() => mapGeometry(graph, 'map')).toThrow(/spatial axis/);
  });

  it('follows padding of some axes only', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const axes = b.constant('axes', 'int64', [2], [2, -1]);
      const pads = b.constant('pads', 'int64', [4], [1, 1, 0, 0]);
      const padded = b.node('Pad', [x, pads, '', axes]);
      return b.node('MaxPool', [padded], { name: 'map', attributes: { ...conv, strides: ints(2, 2) } });
    });
    expect(mapGeometry(graph, 'map')).toEqual({ outputStride: 2, offset: 0.5, receptiveField: 3 });
  });

  it('throws where height and width differ', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) =>
      b.node('MaxPool', [x], { name: 'map', attributes: { ...conv, strides: ints(2, 1) } }),
    );
    expect(() => mapGeometry(graph, 'map')).toThrow(/differs between height and width/);
  });

  it('throws where branches of different stride join', () => {
    const graph = graphOf(['N', 3, 'H', 'W'], (b, x) => {
      const attributes = { ...conv, strides: ints(2, 2), pads: ints(1, 1, 1, 1) };
      return b.node('Add', [b.node('MaxPool', [x], { attributes }), x], { name: 'sum' });
    });
    expect(() => mapGeometry(graph, 'sum')).toThrow(/node "sum" \(Add\): branches of stride 2 and 1/);
  });

  it('throws for a value that is not a map', () => {
    expect(() => mapGeometry(buildArchitecture('resnet18'), 'logits')).toThrow(GraphError);
    expect(() => mapGeometry(buildArchitecture('resnet18'), 'nothing')).toThrow(/does not come from the image/);
  });
});
