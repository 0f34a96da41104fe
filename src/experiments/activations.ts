/**
 * Activation functions and their derivatives, and how many units of a net have died: a channel behind a ReLU that is zero
 * everywhere in all images has no gradient, and nothing brings it back. Forward only: of a trained net.
 *
 * Source: He 2015; Clevert 2016; the dying ReLU of Maas 2013, section 2.
 */
import { OperatorError } from '../errors.js';
import { floatValues } from '../graph/constants.js';
import { graphBuilder } from '../graph/build.js';
import type { Graph, Node } from '../graph/graph.js';
import { nativeShapes, type NativeSize } from '../graph/native-shapes.js';
import { applyPasses } from '../graph/pass.js';
import { tapValues } from '../graph/passes/tap-values.js';
import { expectTensor } from '../tensor.js';
import { activationFunctions, ALPHAS, type ActivationFunction } from './activation-functions.js';
import { eachImage, labelledImages } from './images.js';
import type { Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Findings, Section } from './report.js';
import type { Subject } from './subject.js';

export interface ActivationsData {
  readonly functions: readonly Pick<ActivationFunction, 'name' | 'formula' | 'derivativeFormula'>[];
  /** Absent if no images were named. */
  readonly nets?: readonly DeadChannels[];
}

export interface DeadChannels {
  readonly model: string;
  readonly images: number;
  readonly layers: readonly DeadLayer[];
}

export interface DeadLayer {
  readonly layer: string;
  readonly channels: number;
  /** Channels that are zero everywhere in all images. */
  readonly dead: number;
}

export async function activations(
  lab: Lab,
  options: ExperimentOptions,
): Promise<Findings & { readonly data: ActivationsData }> {
  const { alpha, images, model: models = [] } = options;
  const functions = activationFunctions(alpha === undefined ? ALPHAS : { ...ALPHAS, leaky: alpha, elu: alpha });
  const nets: DeadChannels[] = [];
  if (images !== undefined) {
    for (const name of models.length === 0 ? [undefined] : models) {
      nets.push(await lab.use(name, (subject) => deadChannels(lab, subject, options)));
    }
  }
  return {
    title: 'activation functions, and the units that have died',
    data: {
      functions: functions.map(({ name, formula, derivativeFormula }) => ({ name, formula, derivativeFormula })),
      ...(images !== undefined && { nets }),
    },
    sections: [...functionSections(functions), ...nets.flatMap(deadSections)],
  };
}

/** Count the channels behind each ReLU that no labelled image makes positive anywhere. */
async function deadChannels(lab: Lab, subject: Subject, options: ExperimentOptions): Promise<DeadChannels> {
  const { model, network, open } = subject;
  const { name } = model.manifest;
  const rectified = rectifiersOf(network.classifier);
  if (rectified.length === 0) throw new OperatorError(`${name} has no ReLU, so no unit of it can die`);
  const samples = await labelledImages(lab, subject, options);
  const { graph, maxima } = withMaxima(network.classifier, rectified, model.nativeSize);
  const probe = await open(graph);
  const alive = new Map<string, Uint8Array>();
  await eachImage(
    lab,
    subject,
    samples.map(({ file }) => file),
    name,
    async (image) => {
      const outputs = await probe.photo(image);
      for (const value of maxima) {
        const { data } = expectTensor(outputs, value, 'float32');
        const channels = alive.get(value) ?? new Uint8Array(data.length);
        data.forEach((largest, channel) => {
          if (largest > 0) channels[channel] = 1;
        });
        alive.set(value, channels);
      }
    },
  );
  return {
    model: name,
    images: samples.length,
    layers: rectified.map((node, index) => {
      const channels = alive.get(maxima[index]!)!;
      return { layer: node.name, channels: channels.length, dead: channels.filter((lives) => lives === 0).length };
    }),
  };
}

/** The nodes that make zero of everything below zero. */
export function rectifiersOf(graph: Graph): Node[] {
  return graph.nodes.filter(({ op, inputs }) => {
    if (op === 'Relu') return true;
    const lowest = graph.initializers.get(inputs[1] ?? '');
    return op === 'Clip' && lowest !== undefined && floatValues(lowest)?.[0] === 0;
  });
}

/** The graph, with the largest value of each channel of these nodes' maps, or their vectors themselves, as outputs. */
function withMaxima(net: Graph, nodes: readonly Node[], size: NativeSize): { graph: Graph; maxima: readonly string[] } {
  const shapes = nativeShapes(net, size);
  const builder = graphBuilder(net);
  const maxima = nodes.map(({ name, outputs }) => {
    const isMap = shapes.get(outputs[0]!)?.length === 4;
    return isMap ? builder.node('GlobalMaxPool', [outputs[0]!], { name: `${name}.largest` }) : outputs[0]!;
  });
  return { graph: applyPasses(builder.finish(net.outputs), [tapValues(maxima, size)]), maxima };
}

const FROM = -4;
const TO = 3;
const POINTS = 281;

function functionSections(functions: readonly ActivationFunction[]): Section[] {
  const draw = async (kind: 'of' | 'derivative', label: string): Promise<string> => {
    const [{ drawCurves }, { linearAxis }] = await Promise.all([
      import('../plots/curves.js'),
      import('../plots/axes.js'),
    ]);
    const xs = Array.from({ length: POINTS }, (_, index) => FROM + (index * (TO - FROM)) / (POINTS - 1));
    const curves = functions.map((each) => ({ name: each.name, points: xs.map((x) => ({ x, y: each[kind](x) })) }));
    const ys = curves.flatMap(({ points }) => points.map(({ y }) => y));
    return drawCurves({ title: label, x: linearAxis('x', xs, 0), y: linearAxis(label, ys, 0.1), curves });
  };
  return [
    {
      table: 'Activation functions',
      header: ['function', 'f(x)', "f'(x)"],
      rows: functions.map(({ name, formula, derivativeFormula }) => [name, formula, derivativeFormula]),
    },
    { figure: 'functions', caption: 'Activation functions', draw: () => draw('of', 'f(x)') },
    { figure: 'derivatives', caption: 'Their derivatives', draw: () => draw('derivative', "f'(x)") },
  ];
}

function deadSections({ model, images, layers }: DeadChannels): Section[] {
  const [channels, dead] = [layers.map((layer) => layer.channels), layers.map((layer) => layer.dead)].map((counts) =>
    counts.reduce((sum, count) => sum + count, 0),
  ) as [number, number];
  const share = (part: number, whole: number): string => `${((100 * part) / whole).toFixed(1)} %`;
  return [
    {
      text: `${model}: ${dead} of ${channels} channels behind a ReLU (${share(dead, channels)}) are zero everywhere in all ${images} images.`,
    },
    {
      table: `${model}, channels that are zero in all images`,
      header: ['layer', 'channels', 'dead', 'share'],
      rows: layers.map((layer) => [layer.layer, layer.channels, layer.dead, share(layer.dead, layer.channels)]),
    },
    {
      figure: `dead-${model}`,
      caption: `${model}: share of dead channels by layer`,
      draw: async () => {
        const [{ drawCurves }, { linearAxis }] = await Promise.all([
          import('../plots/curves.js'),
          import('../plots/axes.js'),
        ]);
        const points = layers.map((layer, index) => ({ x: index + 1, y: (100 * layer.dead) / layer.channels }));
        const xs = points.map(({ x }) => x);
        return drawCurves({
          title: `channels that are zero everywhere in all ${images} images`,
          x: linearAxis('ReLU, from the input on', xs, 0.5),
          y: linearAxis('dead channels, %', [0, ...points.map(({ y }) => y)], 1),
          curves: [{ name: model, points, dots: true }],
        });
      },
    },
  ];
}
