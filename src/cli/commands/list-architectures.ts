/**
 * `fullconv architectures`: lists the nets that can be built by name. Its Markdown is docs/architectures.md, written by
 * `npm run architectures`.
 */
import { allArchitectureFigures, type ArchitectureFigures } from '../../models/look/architecture-figures.js';
import { printRows } from '../local-service.js';

export interface ListArchitecturesFlags {
  readonly markdown?: boolean;
  readonly json?: boolean;
}

export function listArchitecturesCommand({ markdown = false, json = false }: ListArchitecturesFlags): void {
  const figures = allArchitectureFigures();
  if (markdown) process.stdout.write(architecturesMarkdown(figures));
  else printRows(json ? figures : figures.map(row), json);
}

/** Columns with two decimals. */
const HUNDREDTHS = new Set(['parameters (M)', 'GMAC']);

const PAGE = `# Architectures

<!-- Made by npm run architectures, from the graphs of src/architectures. -->

The nets that can be built by name, with the cost and the receptive field of each, computed from its graph.

- **Parameters** are as published: Inception v3's with its auxiliary classifier, which is not served.
- **GMAC** are 10⁹ multiply-adds of the classifier for one image of the native size in pixels.
- **Paths** are the ways from the image to the logits, by the convolutions and fully connected layers on them. What the nets of many layers
  have in common is that their shortest paths are short.
- **Map cells** are those along a side of the class map at the native size. The **output stride** is the distance from one
  cell to the next in pixels, the **receptive field** the side of the square that each cell sees. A net behind a spatial transformer has no class map.

Names: \`resnetD_v1\` has the stride of a bottleneck on the first 1×1 convolution, the others on the 3×3. \`preresnetD_keras\` is Keras'
ResNetDV2. \`wide_resnet18_K\` and \`wide_resnet34_K\` have K times the channels; \`wide_resnetD_K_cifar\` is WRN-D-K.
\`tf_efficientnet_liteN\` pads as TensorFlow does, \`efficientnet_liteN\` evenly. \`densenetD_kK_cifar\` adds K channels a layer;
\`_bc\` narrows what layers read and halves the channels between blocks. \`inception_resnet_v1_facenet\` ends in two fully connected
layers. \`cnn_M\`, \`strided_cnn_M\`, \`convpool_cnn_M\` and \`all_cnn_M\` are models A, B and C of the All Convolutional Net, which
halve their maps by max-pooling, by their own convolutions, by max-pooling behind one more convolution, and by a convolution in its place.
\`multi_resnetD_kK\` has K functions in a unit, \`ror3_wrnD_K\` K times the channels; \`_pytorchcv\` is a net as that library
builds it. [models.md](models.md#nets-by-option) has the options of names without a number: \`multi_resnet_cifar\`, \`ror3_cifar\`,
\`fractalnet\`, \`recurrent_resnet_cifar\`, \`spatial_transformer\`.

Counts that are not the published ones: FractalNet of 20 layers has 38.6 M in its paper, but the authors' generator makes this
one, and the paper's six thin nets agree with it. The authors say 154 M of Multi-ResNet 26-k4 ten times as wide.

[models.md](models.md#safetensors) says whose names weights may have.

`;

/** The page, in Markdown. */
export function architecturesMarkdown(figures: readonly ArchitectureFigures[]): string {
  const rows = figures.map((each) => Object.entries(row(each)));
  const header = rows[0]?.map(([column]) => column) ?? [];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`;
  const body = rows.map((cells) =>
    line(cells.map(([column, value]) => (HUNDREDTHS.has(column) ? Number(value).toFixed(2) : String(value)))),
  );
  return [PAGE, line(header), line(header.map((_, column) => (column === 0 ? '---' : '---:'))), ...body].join('');
}

function row(figures: ArchitectureFigures): Record<string, string | number> {
  return {
    architecture: figures.name,
    'parameters (M)': hundredths(figures.publishedParameters / 1e6),
    GMAC: hundredths(figures.multiplyAdds / 1e9),
    'shortest path': figures.paths.shortest,
    'longest path': figures.paths.longest,
    'native size': figures.inputSize,
    'map cells': figures.cells ?? '–',
    'output stride': figures.outputStride ?? '–',
    'receptive field': figures.receptiveField ?? '–',
  };
}

function hundredths(value: number): number {
  return Math.round(value * 100) / 100;
}
