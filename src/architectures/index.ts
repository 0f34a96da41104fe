/**
 * The architectures that can be built by name. Each builder returns an unbound graph `input` [N, 3, H, W] → `logits`
 * [N, classes] whose parameters carry torchvision's state-dict names.
 */
import type { Graph } from '../graph/graph.js';
import type { ArchitectureOptions } from './options.js';
import { buildResNet } from './resnet.js';
import { buildVgg } from './vgg.js';

export type { ArchitectureOptions } from './options.js';
export type { ResNetOptions } from './resnet.js';
export type { VggOptions } from './vgg.js';

export const ARCHITECTURE_NAMES = [
  'vgg11',
  'vgg11_bn',
  'vgg13',
  'vgg13_bn',
  'vgg16',
  'vgg16_bn',
  'vgg19',
  'vgg19_bn',
  'resnet18',
  'resnet34',
  'resnet50',
  'resnet101',
  'resnet152',
] as const;

export type ArchitectureName = (typeof ARCHITECTURE_NAMES)[number];

export function isArchitecture(name: string): name is ArchitectureName {
  return ARCHITECTURE_NAMES.some((known) => known === name);
}

/** Build by name; options that are left out have their ImageNet form. Throws Error naming the option that is wrong. */
export function buildArchitecture(name: ArchitectureName, options: ArchitectureOptions = {}): Graph {
  const depth = Number(/\d+/.exec(name)?.[0]);
  return name.startsWith('vgg')
    ? buildVgg(name, depth, name.endsWith('_bn'), options)
    : buildResNet(name, depth, options);
}

/** The parameters that want weights, running statistics included, in the order of the layers. */
export function parametersOf(graph: Graph): { name: string; dims: readonly number[] }[] {
  return [...graph.initializers.values()]
    .filter(({ data }) => data.kind === 'unbound')
    .map(({ name, dims }) => ({ name, dims }));
}
