/**
 * The layers of a network, with their outputs and costs for an image of one size, and the same by blocks. The names of the
 * layers tell their block (`layer1.0`, `Mixed_5b`); if they do not, layers are grouped by the size of their maps.
 */
import { elementCount } from '../../tensor.js';
import { attribute } from '../../graph/attributes.js';
import { multiplyAddsOf, trainableInputs } from '../../graph/cost.js';
import type { Graph, Node } from '../../graph/graph.js';
import { nativeShapes, type NativeSize } from '../../graph/native-shapes.js';
import { isOfKind } from '../../graph/operators.js';
import { paddingOf, windowsOf } from '../../graph/windows.js';

export interface Layer {
  readonly name: string;
  /** ONNX operator. */
  readonly operator: string;
  /** Present for convolutions and poolings; each list has height and width. */
  readonly window?: LayerWindow;
  /** Shapes of what it takes first and gives for one image, without the batch axis; undefined if they are unknown. */
  readonly input: readonly number[] | undefined;
  readonly output: readonly number[] | undefined;
  /** Number of trainable parameters that no earlier layer shares. */
  readonly parameters: number;
  readonly multiplyAdds: number;
}

export interface LayerWindow {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  /** Cells before and after, along each axis. */
  readonly padding: readonly (readonly [before: number, after: number])[];
  /** A last window that does not fit counts too (ceil_mode). */
  readonly ceil: boolean;
  readonly groups: number;
}

/** Consecutive layers that belong together. */
export interface Block extends Pick<Layer, 'name' | 'output' | 'parameters' | 'multiplyAdds'> {
  readonly layers: readonly Layer[];
}

/** The layers of a net for an image of this size, in the order in which they run. */
export function layersOf(graph: Graph, size: NativeSize): Layer[] {
  const shapes = nativeShapes(graph, size);
  const counted = new Set<string>();
  return graph.nodes.map((node) => {
    const own = trainableInputs(node).filter((name) => !counted.has(name));
    for (const name of own) counted.add(name);
    const input = shapes.get(node.inputs[0] ?? '')?.slice(1);
    const window = windowOf(node, graph, input?.slice(1) ?? []);
    return {
      name: node.name,
      operator: node.op,
      ...(window === undefined ? {} : { window }),
      input,
      output: shapes.get(node.outputs[0] ?? '')?.slice(1),
      parameters: own.reduce((sum, name) => sum + elementCount(graph.initializers.get(name)?.dims ?? [0]), 0),
      multiplyAdds: known(node, shapes) ? multiplyAddsOf(node, shapes) : 0,
    };
  });
}

function known(node: Node, shapes: ReadonlyMap<string, readonly number[]>): boolean {
  return [...node.inputs, ...node.outputs].every((name) => name === '' || shapes.has(name));
}

/** `map` is the size of the input, on which the padding of auto_pad depends. */
function windowOf(node: Node, graph: Graph, map: readonly number[]): LayerWindow | undefined {
  const isPool = isOfKind(node, 'window') && node.op !== 'Conv';
  const kernel = graph.initializers.get(node.inputs[1] ?? '')?.dims.slice(2);
  if (!isPool && (node.op !== 'Conv' || kernel === undefined)) return undefined;
  const windows = windowsOf(node, isPool ? undefined : kernel);
  return {
    kernel: windows.map((window) => window.kernel),
    stride: windows.map((window) => window.stride),
    dilation: windows.map((window) => window.dilation),
    padding: windows.map((window, axis) => paddingOf(window, map[axis])),
    ceil: windows.some(({ ceil }) => ceil),
    groups: attribute(node, 'group', 'int') ?? 1,
  };
}

/** Group consecutive layers into blocks. */
export function blocksOf(layers: readonly Layer[]): Block[] {
  const groups: { key: string; layers: Layer[] }[] = [];
  for (const layer of layers) {
    const key = blockName(layer.name) ?? `at ${layer.output?.slice(1).join('×') ?? ''}`;
    const current = groups.at(-1);
    // The node that joins a block's branches may have the name of the block itself.
    if (current?.key === key || current?.key === layer.name) current.layers.push(layer);
    else groups.push({ key, layers: [layer] });
  }
  return groups.map(({ layers: members }) => {
    const [first, last] = [members[0]!, members.at(-1)!];
    const own = first.name === last.name ? first.name : `${first.name} … ${last.name}`;
    return {
      name: blockName(first.name) ?? own,
      layers: members,
      output: last.output,
      parameters: members.reduce((sum, { parameters }) => sum + parameters, 0),
      multiplyAdds: members.reduce((sum, { multiplyAdds }) => sum + multiplyAdds, 0),
    };
  });
}

/**
 * The block of a layer by its name: the path up to the first part with a digit, and the next part if it is a number. So
 * `layer1.0.conv1` is in `layer1.0`, and `stages.0.blocks.1.conv2` in `stages.0`. Undefined if no such part is in the
 * path.
 */
function blockName(name: string): string | undefined {
  const path = name.split(/[./]+/).filter((part) => part !== '');
  const parents = path.slice(0, -1);
  const numbered = parents.findIndex((part) => /\d/.test(part));
  if (numbered === -1) return undefined;
  const next = parents[numbered + 1] ?? '';
  return parents.slice(0, numbered + (/^\d+$/.test(next) ? 2 : 1)).join('.');
}

/** `Conv 3×3/2, padding 1, 32 groups`. */
export function operatorText(layer: Layer): string {
  const { operator, window } = layer;
  if (window === undefined) return operator;
  const { padding, dilation, groups } = window;
  const pads = new Set(padding.flat());
  return [
    `${operator} ${kernelText(layer)}`,
    ...(pads.size === 1
      ? [...pads].filter((pad) => pad > 0).map((pad) => `padding ${pad}`)
      : [`padding ${padding.join(' ')}`]),
    ...(dilation.every((step) => step === 1) ? [] : [`dilation ${dilation[0] ?? ''}`]),
    ...(groups === 1 ? [] : [`${groups} groups`]),
  ].join(', ');
}

/** `3×3/2`; nothing for a layer without a window. */
export function kernelText({ window }: Layer): string {
  const { kernel = [], stride = [] } = window ?? {};
  return kernel.join('×') + (stride.every((step) => step === 1) ? '' : `/${stride[0] ?? ''}`);
}
