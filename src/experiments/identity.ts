/**
 * A deeper plain net can do what a shallower one does: plain-34 with identity kernels gives the logits of plain-18. That
 * training finds it worse all the same is the degradation problem (He 2016a, section 1 and table 2).
 */
import {
  ARCHITECTURE_NAMES,
  buildArchitecture,
  isArchitecture,
  type ArchitectureName,
} from '../architectures/index.js';
import { OperatorError } from '../errors.js';
import { countParameters } from '../graph/cost.js';
import { LOGITS } from '../graph/passes/name-logits.js';
import { generatedUniform } from '../models/networks/generated-weights.js';
import type { CompiledModel } from '../models/compile.js';
import { elementCount, expectTensor } from '../tensor.js';
import { embedPlain } from './embed-plain.js';
import { onlyModel, type Lab } from './lab.js';
import type { ExperimentOptions } from './options.js';
import type { Pixels } from './pixels.js';
import type { Findings } from './report.js';
import type { Subject } from './subject.js';

export interface IdentityData {
  readonly shallow: Size;
  readonly deep: Size;
  /** Convolutions that are the identity. */
  readonly identities: readonly string[];
  /** Pictures of noise that both nets saw. */
  readonly images: number;
  /** Largest difference of a logit, and the largest logit. */
  readonly difference: number;
  readonly largest: number;
}

interface Size {
  readonly architecture: string;
  readonly parameters: number;
}

const IMAGES = 4;

/** Top-1 errors on ImageNet's validation images, ten crops (He 2016a, table 2). */
const PUBLISHED = [
  ['plain', 27.94, 28.54],
  ['residual', 27.88, 25.03],
] as const;

export async function identity(
  lab: Lab,
  { model: asked }: ExperimentOptions,
): Promise<Findings & { readonly data: IdentityData }> {
  const name = onlyModel(asked);
  const data = name === undefined ? await lab.build('plain18', embed) : await lab.use(name, embed);
  const { shallow, deep, identities, difference, largest, images } = data;
  const millions = ({ parameters }: Size): string => (parameters / 1e6).toFixed(2);
  return {
    title: `${deep.architecture} with identity kernels is ${shallow.architecture}`,
    data,
    sections: [
      {
        text:
          `${identities.length} convolutions of ${deep.architecture} (${millions(deep)} M parameters) are the identity, all ` +
          `others those of ${shallow.architecture} (${millions(shallow)} M). On ${images} pictures of noise a logit differs by ` +
          `at most ${difference.toExponential(1)}; the largest is ${largest.toPrecision(3)}.`,
      },
      {
        table: 'Trained, deeper is worse without shortcuts: top-1 error on ImageNet as published, %',
        header: ['net', '18 layers', '34 layers'],
        rows: PUBLISHED,
      },
    ],
  };
}

async function embed({ model, network, open }: Subject): Promise<IdentityData> {
  const { manifest, labels, nativeSize, parameters } = model;
  const architecture = deeperOf(model);
  const options = { ...manifest.options, classes: labels.length, inputSize: nativeSize.width };
  const built = buildArchitecture(architecture, options);
  const { graph, identities } = embedPlain(network.classifier, built);
  const [shallow, deep] = [await open(network.classifier), await open(graph)];
  let [difference, largest] = [0, 0];
  for (let index = 0; index < IMAGES; index += 1) {
    const [one, other] = await Promise.all(
      [shallow, deep].map(async (net) => {
        const outputs = await net.pixels(noise(`identity-${index}`, model));
        return expectTensor(outputs, LOGITS, 'float32').data;
      }),
    );
    one!.forEach((logit, k) => {
      difference = Math.max(difference, Math.abs(logit - other![k]!));
      largest = Math.max(largest, Math.abs(logit));
    });
  }
  return {
    shallow: { architecture: manifest.architecture, parameters },
    deep: { architecture, parameters: countParameters(built) },
    ...{ identities, images: IMAGES, difference, largest },
  };
}

/** The next deeper plain net. Throws OperatorError if the model is no plain net, or has activations that do not allow it. */
function deeperOf({ manifest: { name, architecture, options = {} } }: CompiledModel): ArchitectureName {
  const parts = (net: string): { depth: number; rest: string } | undefined => {
    const [, depth, rest = ''] = /^plain(\d+)(.*)$/.exec(net) ?? [];
    return depth === undefined ? undefined : { depth: Number(depth), rest };
  };
  const own = isArchitecture(architecture) ? parts(architecture) : undefined;
  const [deeper] = ARCHITECTURE_NAMES.map((net) => ({ net, ...parts(net) }))
    .filter(({ depth = 0, rest }) => own !== undefined && rest === own.rest && depth > own.depth)
    .sort((a, b) => a.depth! - b.depth!);
  if (deeper === undefined)
    throw new OperatorError(`${name} is no plain net that a deeper one is known of, as plain18 is`);
  const { activation = 'relu' } = options;
  if (activation !== 'relu' && activation !== 'relu6') {
    throw new OperatorError(`${name}: ${activation} is not the identity on what it gives`);
  }
  return deeper.net;
}

function noise(seed: string, { nativeSize: { width, height } }: CompiledModel): Pixels {
  const dims = [height, width, 3];
  const data = Uint8Array.from(generatedUniform(seed, elementCount(dims)), (u) => Math.floor(128 + 127 * u));
  return { type: 'uint8', dims, data };
}
