/**
 * Keep the names of an imported graph apart from those that the passes here give.
 *
 *   Before: values and nodes called e.g. `logits`, `image`, `class_map`
 *   After:  the same, called `net.logits`, …
 *
 * Equal because names mean nothing. No match where no name is taken.
 */
import type { Graph } from '../graph.js';
import { freshNames, namesOf } from '../names.js';
import type { Pass } from '../pass.js';
import { renameValues } from '../rewrite.js';

/** The names of the inputs, outputs and nodes that other passes add. */
const RESERVED: ReadonlySet<string> = new Set(
  (
    'image image.float image.planar image.reversed image.centred image.normalized image.mean image.scale image.zero ' +
    'image.one image.bgr logits mean_logits logits_by_image logit_of_second ' +
    'class_map class_map.own classes classes_selected class_logits log_normalizer best_class best_logit logits.own'
  ).split(' '),
);

/** The pass. */
export function reserveNames(): Pass {
  return { name: 'reserve-names', apply: reserve };
}

function reserve(graph: Graph): Graph | undefined {
  const taken = namesOf(graph);
  const fresh = freshNames(taken);
  const renamed = new Map([...RESERVED].filter((name) => taken.has(name)).map((name) => [name, fresh(`net.${name}`)]));
  if (renamed.size === 0) return undefined;
  const rename = (name: string): string => renamed.get(name) ?? name;
  const { nodes, ...others } = renameValues(graph, rename);
  return { ...others, nodes: nodes.map((node) => ({ ...node, name: rename(node.name) })) };
}
