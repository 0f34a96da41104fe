/**
 * The names of EfficientNet in efficientnet_pytorch (lukemelas, `model.py`) and its derivatives, such as
 * efficientnet_lite_pytorch. Blocks are numbered through all stages. A block that does not widen its channels lacks the
 * first layer; its other layers have the same names as in other blocks. The builders have timm's names.
 */
import { renameBy, type NamingRules } from './naming-rules.js';

const OUTSIDE_OF_BLOCKS: NamingRules = [
  [/^conv_stem\./, '_conv_stem.'],
  [/^bn1\./, '_bn0.'],
  [/^conv_head\./, '_conv_head.'],
  [/^bn2\./, '_bn1.'],
  [/^classifier\./, '_fc.'],
];

/** For blocks that widen their channels, and blocks that do not. */
const IN_BLOCK = {
  wide: [
    [/^conv_pw\./, '_expand_conv.'],
    [/^bn1\./, '_bn0.'],
    [/^conv_dw\./, '_depthwise_conv.'],
    [/^bn2\./, '_bn1.'],
    [/^conv_pwl\./, '_project_conv.'],
    [/^bn3\./, '_bn2.'],
  ],
  plain: [
    [/^conv_dw\./, '_depthwise_conv.'],
    [/^bn1\./, '_bn1.'],
    [/^conv_pw\./, '_project_conv.'],
    [/^bn2\./, '_bn2.'],
  ],
} satisfies Record<string, NamingRules>;

/** Maps a builder's name to the file's, for a net with these parameters, in the order of its layers. */
export function efficientNetPytorchNames(parameters: readonly string[]): (parameter: string) => string {
  const blocks = [...new Set(parameters.flatMap((name) => split(name)?.block ?? []))];
  const wide = new Set(
    parameters.flatMap((name) => (name.endsWith('.conv_pwl.weight') ? (split(name)?.block ?? []) : [])),
  );
  return (parameter) => {
    const inside = split(parameter);
    if (inside === undefined) return renameBy(OUTSIDE_OF_BLOCKS, parameter);
    const { block, rest } = inside;
    return `_blocks.${blocks.indexOf(block)}.${renameBy(wide.has(block) ? IN_BLOCK.wide : IN_BLOCK.plain, rest)}`;
  };
}

/** `blocks.3.1.conv_dw.weight` → block `blocks.3.1`, rest `conv_dw.weight`; undefined for parameters outside blocks. */
function split(parameter: string): { readonly block: string; readonly rest: string } | undefined {
  const [, block, rest] = /^(blocks\.\d+\.\d+)\.(.+)$/.exec(parameter) ?? [];
  return block === undefined || rest === undefined ? undefined : { block, rest };
}
