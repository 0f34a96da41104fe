/**
 * The names of FractalNet in pytorchcv (osmr/imgclsmob, `fractalnet_cifar.py`). A convolution there is called by its unit,
 * by the level of the unit at which it ends, and by its column, from 1, the longest. The builder counts the convolutions of
 * each column, from 0, the shortest (architectures/fractalnet.ts).
 */

/** Maps a builder's name to the file's, for a net with these parameters. */
export function fractalNetPytorchcvNames(parameters: readonly string[]): (parameter: string) => string {
  const longest = Math.max(0, ...parameters.map((name) => split(name)?.column ?? 0));
  return (parameter) => {
    const convolution = split(parameter);
    if (convolution === undefined) return parameter.replace(/^prediction0\./, 'output.');
    const { column, index, rest } = convolution;
    const perUnit = 2 ** column;
    const unit = Math.floor(index / perUnit) + 1;
    const level = ((index % perUnit) + 1) * 2 ** (longest - column);
    return `features.unit${unit}.block.blocks.block${level}.subblock${longest - column + 1}.${rest}`;
  };
}

interface Convolution {
  readonly column: number;
  readonly index: number;
  /** The layer in pytorchcv's block, and its parameter. */
  readonly rest: string;
}

/** `batch_conv2_5.bias` → column 2, index 5, `bn.bias`; undefined for other parameters. */
function split(parameter: string): Convolution | undefined {
  const [, batch, column, index, kind] = /^(batch_)?conv(\d+)_(\d+)\.(\w+)$/.exec(parameter) ?? [];
  if (kind === undefined) return undefined;
  return { column: Number(column), index: Number(index), rest: `${batch === undefined ? 'conv' : 'bn'}.${kind}` };
}
