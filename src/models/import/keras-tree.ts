/**
 * The layers of a Keras model as a tree, in the order of the file, and its topology with the dialects translated that
 * the reader of topologies (keras/topology.ts) does not know: operators of TensorFlow and Keras that a model calls on
 * its values, such as `x / 127.5 - 1`, become layers that do the same. What would need code is refused by name.
 *
 * The JSON is hostile until proven otherwise: any fault in it is thrown as a GraphError that names the layer or field.
 */
import { z } from 'zod';
import { GraphError } from '../../graph/graph-error.js';
import { LAYER_CLASSES } from '../keras/layer-classes.js';
import { INPUT_LAYER } from '../keras/topology.js';
import { entrySchema, type LayerEntry } from './keras-entry.js';
import { layerOfOperator } from './keras-operators.js';

export interface KerasTree {
  /** `{ class_name, config }` in a dialect that keras/topology.ts reads. */
  readonly topology: object;
  readonly layers: readonly KerasNode[];
}

export interface KerasNode {
  readonly name: string;
  readonly className: string;
  /** Not checked. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Whether neither the layer nor a model around it is frozen. */
  readonly isTrainable: boolean;
  /** Present if the layer is itself a model. */
  readonly layers?: readonly KerasNode[];
}

/** Limit for the depth of nested models; real ones have two or three levels. */
const MAX_NESTING = 16;

export const MODEL_CLASSES: readonly string[] = ['Model', 'Functional', 'Sequential'];

const layersSchema = z.looseObject({ layers: z.array(entrySchema) });
const nameSchema = z.object({ name: z.string().min(1) });

/** Read the tree of a model `{ class_name, config }`. Throws GraphError naming the faulty layer or field. */
export function readKerasTree(model: unknown): KerasTree {
  const entry = parse(entrySchema, model, 'modelTopology');
  if (!MODEL_CLASSES.includes(entry.class_name)) {
    throw new GraphError(
      `modelTopology.class_name: the model is of the class "${entry.class_name}", whose code is not in the file; ` +
        'only Sequential and functional models can be read',
    );
  }
  const { config, layers } = readModel(entry, { name: 'model', depth: 0, isTrainable: true });
  return { topology: { class_name: entry.class_name, config }, layers };
}

interface Place {
  readonly name: string;
  /** 0 for the outermost model. */
  readonly depth: number;
  readonly isTrainable: boolean;
}

function readModel(
  { config }: LayerEntry,
  { name, depth, isTrainable }: Place,
): { readonly config: object; readonly layers: readonly KerasNode[] } {
  if (depth > MAX_NESTING) throw new GraphError(`layer "${name}": models are nested deeper than ${MAX_NESTING}`);
  const where = depth === 0 ? 'modelTopology.config' : `layer "${name}": config`;
  const listed = parse(layersSchema, Array.isArray(config) ? { layers: config } : config, where);
  const entries: object[] = [];
  const layers: KerasNode[] = [];
  for (const [position, entry] of listed.layers.entries()) {
    const own = nameSchema.safeParse(entry.config).data?.name;
    const layerName = entry.name ?? own ?? `${entry.class_name.toLowerCase()}_${position}`;
    const translated = layerOfOperator(entry, layerName) ?? entry;
    const { class_name: className } = translated;
    const given = Array.isArray(translated.config) ? {} : translated.config;
    const node = {
      name: layerName,
      className,
      config: given,
      isTrainable: isTrainable && given['trainable'] !== false,
    };
    if (MODEL_CLASSES.includes(className)) {
      const inner = readModel(translated, { name: layerName, depth: depth + 1, isTrainable: node.isTrainable });
      entries.push({ ...translated, config: inner.config });
      layers.push({ ...node, layers: inner.layers });
    } else {
      refuseUnknown(translated, layerName);
      entries.push(translated);
      layers.push(node);
    }
  }
  return { config: { ...listed, layers: entries }, layers };
}

function refuseUnknown({ class_name: className, registered_name: registered, module }: LayerEntry, name: string): void {
  if (className === INPUT_LAYER || LAYER_CLASSES.has(className)) return;
  const layer = `layer "${name}" (${/^\w+$/.test(className) ? className : 'unknown'})`;
  if (className === 'Lambda') {
    throw new GraphError(`${layer}: holds Python code, which is not executed; ${EXPORT}`);
  }
  const isCustom = registered?.includes('>') === true || (module != null && !/^keras(\.|$)/.test(module));
  const what = isCustom ? 'is a custom layer, whose code is not in the file' : 'layers of this class cannot be read';
  throw new GraphError(`${layer}: ${what}; ${EXPORT}`);
}

/** What to do about a layer that cannot be read. */
export const EXPORT =
  "export the model to ONNX instead, where that layer is made of operators: model.export('model.onnx', format='onnx') " +
  'with Keras 3, TF_USE_LEGACY_KERAS=1 python -m tf2onnx.convert --keras model.h5 --output model.onnx before ' +
  '(pip install tf2onnx tensorflow tf-keras)';

/** The layers that are not models, each with the names of the models around it and its own. */
export function leavesOf(
  layers: readonly KerasNode[],
  parents: readonly string[] = [],
): { readonly node: KerasNode; readonly path: readonly string[] }[] {
  return layers.flatMap((node) => {
    const path = [...parents, node.name];
    return node.layers === undefined ? [{ node, path }] : leavesOf(node.layers, path);
  });
}

function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const path = [what, ...(issue?.path ?? [])].join('.');
  throw new GraphError(`${path}: ${issue?.message ?? 'is invalid'}`);
}
