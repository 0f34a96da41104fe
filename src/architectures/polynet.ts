/**
 * Very Deep PolyNet (Zhang 2017) for images of 331 pixels: Inception-ResNet whose residual modules have polynomials of
 * residual functions F and G in the place of one. With I the identity and s the module's scale:
 *
 * - `2-way`: I + sF + sG
 * - `poly-2`, `poly-3`: I + sF + sF² (+ sF³). F is applied again and again: its convolutions are shared by the steps. Each
 *   step has batch normalizations and a closing 1×1 convolution of its own.
 * - `mpoly-2`: I + sF + sGF
 *
 * Between two functions, and behind the sum, is an activation. The scale falls from 1 to 0.7 over the modules. The published
 * net has no modules but 2-way and poly-3; the others are in the paper's figure 4. Parameter names are Cadene's
 * (pretrained-models.pytorch).
 */
import { graphBuilder, type GraphBuilder } from '../graph/build.js';
import type { Graph } from '../graph/graph.js';
import {
  COLUMN_OF_3,
  COLUMN_OF_7,
  HALVING,
  inceptionLayersOn,
  ROW_OF_3,
  ROW_OF_7,
  THREE,
  UNPADDED,
  type Features,
  type InceptionLayers,
  type Step,
} from './inception-units.js';
import { BATCH_NORM_EPSILON } from './layers.js';
import { IMAGENET_FORM, resolveOptions, type ArchitectureOptions, type CommonOptions } from './options.js';

/** `stageA`, `stageB`, `stageC`: the modules of the stages, e.g. `10 x poly-3, 2-way`. */
export interface PolyNetOptions extends CommonOptions {
  readonly stageA: string;
  readonly stageB: string;
  readonly stageC: string;
  /** Channels of the first convolution; all others keep their ratio to it. */
  readonly width: number;
}

interface Variant {
  readonly defaults: PolyNetOptions;
}

const PUBLISHED_WIDTH = 32;

export const POLYNETS = {
  polynet: {
    defaults: {
      ...IMAGENET_FORM,
      inputSize: 331,
      stageA: '10 x 2-way',
      stageB: '10 x poly-3, 2-way',
      stageC: '5 x poly-3, 2-way',
      width: PUBLISHED_WIDTH,
    },
  },
} satisfies Record<string, Variant>;

const MODULES = ['2-way', 'poly-2', 'poly-3', 'mpoly-2'] as const;

type ModuleKind = (typeof MODULES)[number];

/** A step of a residual function, and its name where the steps of a module share it. */
type NamedStep = readonly [name: string, ...Step];

/** The steps of a path of a residual function. */
type Paths = readonly (readonly NamedStep[])[];

const PATHS_A: Paths = [
  [
    ['1x1', 32],
    ['3x3', 48, THREE],
    ['3x3_2', 64, THREE],
  ],
  [
    ['1x1', 32],
    ['3x3', 32, THREE],
  ],
  [['1x1', 32]],
];
const PATHS_B: Paths = [
  [
    ['1x1', 128],
    ['1x7', 160, ROW_OF_7],
    ['7x1', 192, COLUMN_OF_7],
  ],
  [['1x1', 192]],
];
const PATHS_C: Paths = [
  [
    ['1x1', 192],
    ['1x3', 224, ROW_OF_3],
    ['3x1', 256, COLUMN_OF_3],
  ],
  [['1x1', 192]],
];

/** The scale of the last module. */
const LAST_SCALE = 0.7;

interface Stage {
  readonly name: string;
  readonly kinds: readonly ModuleKind[];
  readonly paths: Paths;
  /** What leads to the stage's first module. */
  readonly begin: (layers: InceptionLayers, x: Features) => Features;
}

/** `input` float32 [N, 3, H, W] → `logits` [N, classes], parameters unbound. Throws Error on invalid options. */
export function buildPolyNet(name: string, { defaults }: Variant, given: ArchitectureOptions): Graph {
  const options = resolveOptions(name, defaults, given);
  const { classes, width } = options;
  const stages: readonly Stage[] = [
    { name: 'stage_a', kinds: modulesOf(name, options, 'stageA'), paths: PATHS_A, begin: stem },
    { name: 'stage_b', kinds: modulesOf(name, options, 'stageB'), paths: PATHS_B, begin: reductionA },
    { name: 'stage_c', kinds: modulesOf(name, options, 'stageC'), paths: PATHS_C, begin: reductionB },
  ];
  const last = stages.reduce((sum, { kinds }) => sum + kinds.length, 0) - 1;

  const builder = graphBuilder({ name });
  const layers = inceptionLayersOn(builder, {
    ...options,
    epsilon: BATCH_NORM_EPSILON,
    scale: width / PUBLISHED_WIDTH,
  });
  let x: Features = { value: builder.input('input', 'float32', ['N', 3, 'H', 'W']), channels: 3 };
  let position = 0;
  for (const stage of stages) {
    x = stage.begin(layers, x);
    for (const [index, kind] of stage.kinds.entries()) {
      const scale = 1 - (1 - LAST_SCALE) * (position / last);
      x = polyModule({ builder, layers }, x, { kind, name: `${stage.name}.${index}`, paths: stage.paths, scale });
      position += 1;
    }
  }

  const shape = { in: x.channels, out: classes, output: 'logits' };
  const logits = layers.linear(layers.globalAverage(x.value), 'last_linear', shape);
  return builder.finish([{ name: logits, dataType: 'float32', dims: ['N', classes] }]);
}

/** `2 x poly-3, 2-way` → poly-3, 2-way, poly-3, 2-way. Throws Error naming the option. */
function modulesOf(name: string, options: PolyNetOptions, key: 'stageA' | 'stageB' | 'stageC'): ModuleKind[] {
  const [, repeats, list = ''] = /^([1-9]\d{0,2}) x (.+)$/.exec(options[key]) ?? [];
  const kinds = list.split(', ').map((word) => MODULES.find((kind) => kind === word));
  if (repeats === undefined || !kinds.every((kind) => kind !== undefined)) {
    const like = `like "10 x poly-3, 2-way", of ${MODULES.join(', ')}`;
    throw new Error(`${name}: option "${key}" must be ${like}, is ${JSON.stringify(options[key])}`);
  }
  return Array<ModuleKind[]>(Number(repeats)).fill(kinds).flat();
}

/** To 39 cells a side. */
function stem(layers: InceptionLayers, image: Features): Features {
  let x = layers.sequence(image, 'stem.conv1', [32, HALVING], [32, UNPADDED], [64, THREE]);
  x = layers.join(
    'stem.conv1_concat',
    layers.pool(x, 'stem.conv1_pool', 'max', HALVING),
    layers.sequence(x, 'stem.conv1_branch', [96, HALVING]),
  );
  x = layers.join(
    'stem.conv2',
    layers.sequence(x, 'stem.conv2_short', [64], [96, UNPADDED]),
    layers.sequence(x, 'stem.conv2_long', [64], [64, COLUMN_OF_7], [64, ROW_OF_7], [96, UNPADDED]),
  );
  return layers.join(
    'stem.conv2_concat',
    layers.pool(x, 'stem.conv2_pool', 'max', HALVING),
    layers.sequence(x, 'stem.conv2_branch', [192, HALVING]),
  );
}

/** To 19 cells a side. */
function reductionA(layers: InceptionLayers, x: Features): Features {
  return layers.join(
    'reduction_a',
    layers.sequence(x, 'reduction_a.path0', [256], [256, THREE], [384, HALVING]),
    layers.sequence(x, 'reduction_a.path1', [384, HALVING]),
    layers.pool(x, 'reduction_a.path2', 'max', HALVING),
  );
}

/** To 9 cells a side. */
function reductionB(layers: InceptionLayers, x: Features): Features {
  return layers.join(
    'reduction_b',
    layers.sequence(x, 'reduction_b.path0', [256], [256, THREE], [256, HALVING]),
    layers.sequence(x, 'reduction_b.path1', [256], [256, HALVING]),
    layers.sequence(x, 'reduction_b.path2', [256], [384, HALVING]),
    layers.pool(x, 'reduction_b.path3', 'max', HALVING),
  );
}

interface Builders {
  readonly builder: GraphBuilder;
  readonly layers: InceptionLayers;
}

interface PolyModule {
  readonly kind: ModuleKind;
  readonly name: string;
  readonly paths: Paths;
  /** Factor of each residual function. */
  readonly scale: number;
}

/** The activated sum of the input and of the terms of the module's polynomial. */
function polyModule({ builder, layers }: Builders, x: Features, module: PolyModule): Features {
  const { name, scale } = module;
  const sum = termsOf(layers, x, module).reduce((total, term, index) => {
    const scaled = scale === 1 ? term.value : layers.scale(term.value, `${name}.scale${index}`, scale);
    return builder.node('Add', [total, scaled], { name: `${name}.add${index}` });
  }, x.value);
  return { value: layers.activation(sum, `${name}.relu`), channels: x.channels };
}

function termsOf(layers: InceptionLayers, x: Features, { kind, name, paths }: PolyModule): Features[] {
  const between = ({ value, channels }: Features, index: number): Features => ({
    value: layers.activation(value, `${name}.relu${index}`),
    channels,
  });
  if (kind === '2-way' || kind === 'mpoly-2') {
    const first = ownFunction(layers, x, `${name}.blocks.0`, paths);
    const input = kind === '2-way' ? x : between(first, 0);
    return [first, ownFunction(layers, input, `${name}.blocks.1`, paths)];
  }
  const terms = [sharedFunction(layers, x, name, { paths, step: 0 })];
  for (let step = 1; step < (kind === 'poly-2' ? 2 : 3); step += 1) {
    terms.push(sharedFunction(layers, between(terms[step - 1]!, step - 1), name, { paths, step }));
  }
  return terms;
}

/** A residual function with parameters of its own. */
function ownFunction(layers: InceptionLayers, x: Features, name: string, paths: Paths): Features {
  const ends = paths.map((steps, index) =>
    layers.sequence(x, `${name}.path${index}`, ...steps.map(([, ...step]): Step => step)),
  );
  return close(layers, layers.join(`${name}.concat`, ...ends), `${name}.conv2d`, x.channels);
}

/** A residual function whose convolutions are those of the module's other steps. */
function sharedFunction(
  layers: InceptionLayers,
  x: Features,
  name: string,
  { paths, step }: { readonly paths: Paths; readonly step: number },
): Features {
  const ends = paths.map((steps, index) =>
    steps.reduce((y, [label, ...shape]) => {
      const unit = steps.length === 1 ? `${name}.path${index}` : `${name}.path${index}_${label}`;
      return layers.unit(y, [unit, ...shape], `${unit}.bn_blocks.${step}`);
    }, x),
  );
  return close(layers, layers.join(`${name}.concat${step}`, ...ends), `${name}.conv2d_blocks.${step}`, x.channels);
}

/** The 1×1 convolution that ends a residual function, normalized and not activated. */
function close(layers: InceptionLayers, { value, channels }: Features, name: string, out: number): Features {
  const convolved = layers.conv(value, `${name}.conv`, { in: channels, out, kernel: 1 });
  return { value: layers.batchNorm(convolved, `${name}.bn`, out), channels: out };
}
