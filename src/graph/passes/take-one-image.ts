/**
 * Let a net take one image with a batch axis, whatever batch it was exported for.
 *
 *   Before: x [3, H, W] → … → y [K]            After: x [1, 3, H, W] → Squeeze → … → y [K]
 *   Before: x [8, 3, H, W] → … → y [8, K]      After: x [1, 3, H, W] → Concat of 8 → … → Slice → y [1, K]
 *
 * Preconditions: the only input has rank 3, three or one of its sizes being that of channels, in the one form (`batch`: "none"); or
 * it has rank 4 and a first size above 1, and there is one output, in the other ("fixed"). Equal because the first image of the
 * batch is this one.
 */
import { int, ints } from '../attributes.js';
import { graphBuilder } from '../build.js';
import type { Dim, Graph } from '../graph.js';
import { nameGiver } from '../names.js';
import type { Pass } from '../pass.js';
import { renameReads, renameValues } from '../rewrite.js';

/** The pass. */
export function takeOneImage(batch: 'none' | 'fixed'): Pass {
  return { name: `take-one-image-${batch}`, apply: batch === 'none' ? addAxis : repeat };
}

function addAxis(graph: Graph): Graph | undefined {
  const [input, ...others] = graph.inputs;
  const isImage = input?.dims.length === 3 && [input.dims[0], input.dims[2]].some((dim) => dim === 3 || dim === 1);
  if (!isImage || others.length > 0) return undefined;
  const fresh = nameGiver(graph);
  const single = fresh(`${input.name}.single`);
  const renamed = {
    ...graph,
    nodes: graph.nodes.map((node) => renameReads(node, (name) => (name === input.name ? single : name))),
  };
  const builder = graphBuilder({ ...renamed, nodes: [], inputs: [{ ...input, dims: [1, ...input.dims] }] });
  const takesAxes = graph.opset >= 13;
  const axes = takesAxes ? [builder.constant(fresh('batch_axis'), 'int64', [1], [0])] : [];
  const attributes = takesAxes ? {} : { axes: ints(0) };
  builder.node('Squeeze', [input.name, ...axes], { name: single, output: single, attributes });
  const built = builder.finish(graph.outputs);
  return { ...built, nodes: [...built.nodes, ...renamed.nodes] };
}

function repeat(graph: Graph): Graph | undefined {
  const [input, ...others] = graph.inputs;
  const [output, ...more] = graph.outputs;
  const batch = input?.dims[0];
  if (input?.dims.length !== 4 || output === undefined || others.length + more.length > 0) return undefined;
  if (typeof batch !== 'number' || batch < 2 || batch > MAX_BATCH) return undefined;
  const fresh = nameGiver(graph);
  const [all, answers] = [fresh(`${input.name}.all`), fresh(`${output.name}.all`)];
  const own = renameValues(graph, (name) => (name === output.name ? answers : name));
  const nodes = own.nodes.map((node) => renameReads(node, (name) => (name === input.name ? all : name)));
  const one = (dims: readonly Dim[]): Dim[] => [1, ...dims.slice(1)];
  const copies = Array.from({ length: batch }, () => input.name);
  const first = graphBuilder({ ...own, nodes: [], inputs: [{ ...input, dims: one(input.dims) }] });
  first.node('Concat', copies, { name: all, output: all, attributes: { axis: int(0) } });
  const begun = first.finish([]);
  const last = graphBuilder({ ...begun, nodes: [...begun.nodes, ...nodes] });
  if (graph.opset < 10) {
    const attributes = { starts: ints(0), ends: ints(1), axes: ints(0) };
    last.node('Slice', [answers], { name: 'first_image', output: output.name, attributes });
  } else {
    const bounds = [0, 1, 0].map((value, index) => last.constant(`first_image.${index}`, 'int64', [1], [value]));
    last.node('Slice', [answers, ...bounds], { name: 'first_image', output: output.name });
  }
  return last.finish([{ ...output, dims: one(output.dims) }]);
}

/** A larger batch is no classifier's. */
const MAX_BATCH = 256;
