/** Architectures told from the names and shapes of tensors. */
import { describe, expect, it } from 'vitest';
import {
  buildArchitecture,
  parametersOf,
  type ArchitectureName,
  type ArchitectureOptions,
} from '../../../../src/architectures/index.js';
import { libraryNamings } from '../../../../src/models/networks/weight-names.js';
import { deduceArchitecture } from '../../../../src/models/import/deduce-architecture.js';

type Tensors = Map<string, readonly number[]>;

/** The tensors of a net, under names that `rename` makes of its own. */
function tensorsOf(
  name: ArchitectureName,
  options: ArchitectureOptions = {},
  rename: (parameter: string) => string = (parameter) => parameter,
): Tensors {
  return new Map(parametersOf(buildArchitecture(name, options)).map((tensor) => [rename(tensor.name), tensor.dims]));
}

describe('deduceArchitecture', () => {
  it.each<[ArchitectureName, ArchitectureOptions]>([
    ['resnet18', { classes: 10 }],
    ['plain34', { classes: 3 }],
    ['densenet100_k12_bc_cifar', { classes: 10 }],
    ['inception_v4', { classes: 5 }],
    ['inception_resnet_v2', { classes: 5 }],
    ['polynet', { classes: 5 }],
    ['nin_imagenet', { classes: 5 }],
    ['highway19_cifar', { classes: 100 }],
    ['resnet20_cifar', { classes: 100 }],
    ['wide_resnet28_10_cifar', { classes: 10 }],
    ['preresnet50', { classes: 7 }],
    ['resnext101_32x8d', { classes: 2 }],
    ['densenet169', { classes: 2 }],
    ['vgg13', { classes: 6 }],
    ['vgg19_bn', { classes: 6 }],
    ['squeezenet1_1', { classes: 4 }],
    ['multi_resnet50_k2', { classes: 4 }],
    ['ror3_wrn40_2_cifar', { classes: 100 }],
    ['pre_ror3_164_cifar', { classes: 10 }],
    ['recurrent_resnet_cifar', { classes: 10 }],
    ['fractalnet20_cifar', { classes: 10 }],
    ['spatial_transformer', { classes: 10 }],
  ])('knows %s by its tensors alone', (architecture, options) => {
    const { classes } = options;
    expect(deduceArchitecture(tensorsOf(architecture, options))).toMatchObject({ architecture, classes, options: {} });
  });

  it.each<[ArchitectureName, ArchitectureOptions]>([
    ['resnet18', { width: 32, stem: 'cifar' }],
    ['resnet50', { width: 16 }],
    ['densenet121', { width: 24 }],
    ['vgg11_bn', { width: 32, hidden: 512 }],
  ])('knows the options of %s by shapes: %o', (architecture, options) => {
    expect(deduceArchitecture(tensorsOf(architecture, { ...options, classes: 5 }))).toMatchObject({
      architecture,
      options,
      classes: 5,
    });
  });

  it("knows pytorchcv's FractalNet by its names, and asks which RoR joins as pytorchcv's does", () => {
    const parameters = parametersOf(buildArchitecture('fractalnet20_cifar_pytorchcv'));
    const naming = libraryNamings(parameters.map(({ name }) => name)).find(({ owner }) => owner.includes('FractalNet'));
    const tensors = tensorsOf('fractalnet20_cifar_pytorchcv', {}, naming!.nameOf);
    expect(deduceArchitecture(tensors)).toMatchObject({ architecture: 'fractalnet20_cifar_pytorchcv', options: {} });
    expect(() => deduceArchitecture(tensorsOf('ror3_110_cifar'))).toThrow(
      'are those of ror3_110_cifar and ror3_110_cifar_pytorchcv, which compute differently; say which it is',
    );
  });

  it("knows the net of PyTorch's tutorial on spatial transformers, and the side of its images", () => {
    expect(deduceArchitecture(tensorsOf('stn_mnist'))).toMatchObject({ architecture: 'stn_mnist', inputSize: 28 });
  });

  it('knows the side of the images of a VGG by its first fully connected layer', () => {
    const tensors = tensorsOf('vgg11', { inputSize: 96, classes: 5 });
    expect(deduceArchitecture(tensors)).toMatchObject({ architecture: 'vgg11', inputSize: 96 });
  });

  it.each(['module.', 'model.', 'module.model.', '_orig_mod.', 'net.encoder.backbone.'])(
    'finds the net after the prefix %s',
    (prefix) => {
      const tensors = tensorsOf('resnet18', { classes: 5 }, (name) => prefix + name);
      tensors.set('loss.weight', [5]);
      tensors.set(`${prefix}bn1.num_batches_tracked`, []);
      const { architecture, parameters, notes } = deduceArchitecture(tensors);
      expect(architecture).toBe('resnet18');
      expect(parameters[0]).toMatchObject({ name: 'conv1.weight', tensor: `${prefix}conv1.weight` });
      expect(notes.join(' ')).toContain('"loss.weight"');
    },
  );

  it("takes torch's ResNet-50 for what it is, and says what else it may be", () => {
    const { architecture, notes } = deduceArchitecture(tensorsOf('resnet50'));
    expect(architecture).toBe('resnet50');
    expect(notes.join(' ')).toContain('--architecture resnet50_v1');
    expect(deduceArchitecture(tensorsOf('resnet50'), { stated: 'resnet50_v1' }).architecture).toBe('resnet50_v1');
  });

  it('asks where equal tensors compute differently, unless the training noted it', () => {
    const tensors = tensorsOf('tf_efficientnet_lite0');
    expect(() => deduceArchitecture(tensors)).toThrow(
      'are those of efficientnet_lite0 and tf_efficientnet_lite0, which compute differently; say which it is with --architecture',
    );
    expect(deduceArchitecture(tensors, { noted: 'tf_efficientnet_lite0' }).architecture).toBe('tf_efficientnet_lite0');
    expect(deduceArchitecture(tensors, { stated: 'efficientnet_lite0' }).architecture).toBe('efficientnet_lite0');
  });

  it('takes a ResNet for CIFAR for one, though a plain net has no other tensors', () => {
    const { architecture, notes } = deduceArchitecture(tensorsOf('plain20_cifar'));
    expect(architecture).toBe('resnet20_cifar');
    expect(notes.join(' ')).toContain('plain20_cifar too, without shortcuts: --architecture plain20_cifar');
    expect(deduceArchitecture(tensorsOf('plain20_cifar'), { stated: 'plain20_cifar' }).architecture).toBe(
      'plain20_cifar',
    );
  });

  it('knows an Inception-ResNet by the names of Cadene', () => {
    const tensors = tensorsOf('inception_resnet_v2', {}, (name) => name.replace('classif.', 'last_linear.'));
    const { architecture, parameters } = deduceArchitecture(tensors);
    expect(architecture).toBe('inception_resnet_v2');
    expect(parameters.at(-1)).toMatchObject({ name: 'classif.bias', tensor: 'last_linear.bias' });
  });

  it('says which net it resembles and what differs', () => {
    const deeper = tensorsOf('resnet34');
    deeper.set('layer4.3.conv1.weight', [512, 512, 3, 3]);
    expect(() => deduceArchitecture(deeper)).toThrow(
      /resembles resnet34 .* but it has "layer4\.3\.conv1\.weight" besides/,
    );
    const shallower = tensorsOf('resnet18');
    shallower.delete('layer3.1.bn2.running_var');
    expect(() => deduceArchitecture(shallower)).toThrow(
      /resembles resnet18 .* "layer3\.1\.bn2\.running_var" is missing/,
    );
    const other = tensorsOf('resnet18');
    other.set('layer2.0.conv1.weight', [128, 64, 5, 5]);
    expect(() => deduceArchitecture(other)).toThrow(
      /resembles resnet18 .* "layer2\.0\.conv1\.weight" is \[128, 64, 5, 5\], not \[128, 64, 3, 3\]; .*torch\.onnx\.export/,
    );
  });

  it.each([
    ["torchvision's MobileNetV2", 'features.1.conv.0.0.weight'],
    ['a Vision Transformer', 'module.cls_token'],
  ])('knows %s by name, which is not built in', (net, name) => {
    expect(() => deduceArchitecture(new Map([[name, [1, 1, 3, 3]]]))).toThrow(`those of ${net}, which is not built in`);
  });

  it('refuses nothing at all, and absurd sizes', () => {
    expect(() => deduceArchitecture(new Map())).toThrow('those of no built-in architecture');
    const tensors = tensorsOf('resnet18');
    tensors.set('conv1.weight', [2 ** 52, 3, 7, 7]);
    expect(() => deduceArchitecture(tensors)).toThrow('resembles resnet18');
  });
});
