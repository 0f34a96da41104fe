import { describe, expect, it } from 'vitest';
import { nativeForm } from '../../../src/architectures/index.js';
import { findEntry, readCatalog } from '../../../src/models/pull/catalog.js';

describe('the catalog', () => {
  it('has 1000 labels, and weights of the architectures’ published form, by names of their own', async () => {
    const { models, labels } = await readCatalog();
    expect(labels).toHaveLength(1000);
    expect(labels[386]).toEqual({ id: 'n02504458', label: 'African elephant' });
    expect(new Set(models.map(({ name }) => name)).size).toBe(models.length);
    for (const { architecture, input, name } of models) {
      expect({ name, ...nativeForm(architecture) }).toEqual({ name, inputSize: input.size, classes: 1000 });
    }
  });

  it('has input presets as timm computes them from its crops', async () => {
    const catalog = await readCatalog();
    const preset = (name: string) => {
      const { size, resize, interpolation, mean } = findEntry(catalog, name).input;
      return [size, resize, interpolation, mean[0]];
    };
    expect(preset('resnet50.tv_in1k')).toEqual([224, 256, 'bilinear', 0.485]);
    expect(preset('resnet50.a1_in1k')).toEqual([224, 235, 'bicubic', 0.485]);
    expect(preset('inception_v3.tv_in1k')).toEqual([299, 341, 'bicubic', 0.5]);
    expect(preset('inception_v4.tf_in1k')).toEqual([299, 341, 'bicubic', 0.5]);
    expect(preset('inception_resnet_v2.tf_in1k')).toEqual([299, 333, 'bicubic', 0.5]);
  });

  it('finds weights by name, and the first of an architecture', async () => {
    const catalog = await readCatalog();
    expect(findEntry(catalog, 'resnet50.a1_in1k').name).toBe('resnet50.a1_in1k');
    expect(findEntry(catalog, 'resnet50').name).toBe('resnet50.tv_in1k');
  });

  it.each([
    ['resnet5O', /Did you mean resnet50, /],
    ['VGG-16', /Did you mean vgg16, /],
    [
      'something else entirely',
      /^The catalog has no weights called "something else entirely"\. Run fullconv pull to list them\.$/,
    ],
  ])('says what is near to %s', async (name, message) => {
    const catalog = await readCatalog();
    expect(() => findEntry(catalog, name)).toThrow(message);
  });
});
