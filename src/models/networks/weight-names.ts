/**
 * Finds the names of a net's tensors in a weights file. A builder names its parameters as torchvision does, or as the
 * implementation that its file cites. Other libraries have other names for the same tensors, and modules that wrap a
 * net for training put a prefix before all of them. A naming maps a builder's name to the file's and is pure. The
 * naming that finds most tensors in the file is taken.
 *
 * Sources: timm/models/vgg.py and densenet.py (pytorch-image-models), models/resnet/modeling_resnet.py (transformers),
 * pretrainedmodels/models/inceptionresnetv2.py (Cadene's pretrained-models.pytorch);
 * test/fixtures/weight-names has the names that these libraries really write.
 */
import { efficientNetPytorchNames } from './efficientnet-pytorch-names.js';
import { fractalNetPytorchcvNames } from './fractalnet-pytorchcv-names.js';
import { ModelFileError } from '../files/model-file-error.js';
import { renameBy, type NamingRules } from './naming-rules.js';

export interface Naming {
  /** The library that has these names, for messages. */
  readonly owner: string;
  /** Maps a builder's parameter to its name in the file. */
  readonly nameOf: (parameter: string) => string;
}

/** Maps a builder's name to the owner's, given all of the builder's names. */
type Renaming = (parameters: readonly string[]) => (parameter: string) => string;

/** Owners, each with the mapping from the builders' names to its own. */
const OWNERS: readonly (readonly [owner: string, renaming: NamingRules | Renaming])[] = [
  ["the architecture's own", []],
  [
    "timm's VGG",
    [
      [/^classifier\.0\./, 'pre_logits.fc1.'],
      [/^classifier\.3\./, 'pre_logits.fc2.'],
      [/^classifier\.6\./, 'head.fc.'],
    ],
  ],
  ["Cadene's Inception-ResNet", [[/^classif\./, 'last_linear.']]],
  ["torchvision's DenseNet before 2018", [[/(\.denselayer\d+\.(?:norm|conv))(\d)\./, '$1.$2.']]],
  [
    "Hugging Face's ResNet",
    [
      [/^conv1\./, 'resnet.embedder.embedder.convolution.'],
      [/^bn1\./, 'resnet.embedder.embedder.normalization.'],
      [/^layer(\d+)\.(\d+)\.conv(\d)\./, (stage, block, layer) => `${inBlock(stage, block, layer)}.convolution.`],
      [/^layer(\d+)\.(\d+)\.bn(\d)\./, (stage, block, layer) => `${inBlock(stage, block, layer)}.normalization.`],
      [/^layer(\d+)\.(\d+)\.downsample\.0\./, (stage, block) => `${inBlock(stage, block)}.convolution.`],
      [/^layer(\d+)\.(\d+)\.downsample\.1\./, (stage, block) => `${inBlock(stage, block)}.normalization.`],
      [/^fc\./, 'classifier.1.'],
    ],
  ],
  ["efficientnet_pytorch's EfficientNet", efficientNetPytorchNames],
  ["pytorchcv's FractalNet", fractalNetPytorchcvNames],
];

/** transformers counts stages and layers from 0. Without `layer` the result is the block's shortcut. */
function inBlock(stage?: string, block?: string, layer?: string): string {
  const name = `resnet.encoder.stages.${Number(stage) - 1}.layers.${block ?? ''}`;
  return layer === undefined ? `${name}.shortcut` : `${name}.layer.${Number(layer) - 1}`;
}

/**
 * Prefixes that torch's DataParallel, its compiler, Lightning's and other modules put before the names of their net.
 */
const WRAPPERS = ['', 'module.', '_orig_mod.', 'model.', 'net.', 'backbone.'];

/** The namings of a net with these parameters, one for each library; the architecture's own comes first. */
export function libraryNamings(parameters: readonly string[]): Naming[] {
  return OWNERS.map(([owner, renaming]) => {
    const nameOf =
      typeof renaming === 'function' ? renaming(parameters) : (name: string): string => renameBy(renaming, name);
    return { owner, nameOf };
  });
}

/** All namings of a net with these parameters. */
function namingsOf(parameters: readonly string[]): Naming[] {
  const owners = libraryNamings(parameters);
  return WRAPPERS.flatMap((wrapper) =>
    owners.map(({ owner, nameOf }) => ({
      owner: wrapper === '' ? owner : `${owner} after "${wrapper}"`,
      nameOf: (parameter: string) => wrapper + nameOf(parameter),
    })),
  );
}

/** The first names of a file, for messages. They come from strangers, so only three are shown, cut at 80 characters. */
export function firstOf(names: Iterable<string>): string {
  const shown = [...names].slice(0, 3).map((name) => `"${name.slice(0, 80)}"`);
  return shown.join(', ') || 'nothing';
}

/**
 * The naming under which the file has all parameters. Throws ModelFileError if there is none; it names the first
 * missing tensor of the best naming, and the first names of the file.
 */
export function findNaming(file: string, parameters: readonly string[], tensors: ReadonlyMap<string, unknown>): Naming {
  const missingOf = ({ nameOf }: Naming): string[] => parameters.filter((name) => !tensors.has(nameOf(name)));
  const candidates = namingsOf(parameters).map((naming) => ({ naming, missing: missingOf(naming) }));
  const { naming, missing } = candidates.reduce((best, other) =>
    other.missing.length < best.missing.length ? other : best,
  );
  const [first] = missing;
  if (first === undefined) return naming;
  const known = missing.length < parameters.length ? naming.owner : 'no known';
  throw new ModelFileError(
    file,
    `tensor "${naming.nameOf(first)}"`,
    `is missing (${known} names); the file begins with ${firstOf(tensors.keys())}`,
  );
}
