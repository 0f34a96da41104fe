/**
 * The catalog of weights that can be pulled by name. An entry gives the file, its repository on the Hugging Face hub,
 * the architecture and the preprocessing of the input. The catalog ships with the program (`models/catalog/`), together
 * with the names of the classes.
 *
 * Source: the configurations of timm (architecture, crop, interpolation, mean and deviation, licence) and its table of
 * results (top-1 at the size given here). An entry pins a commit, size or sha256 only if independent sources agree on
 * it. Otherwise the hub's current statement about the file counts (download.ts).
 */
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { ARCHITECTURE_NAMES } from '../../architectures/index.js';
import { OperatorError } from '../../errors.js';
import { readJson } from '../files/json-file.js';
import { labelsSchema, manifestSchema, type Label } from '../manifest.js';

const entrySchema = manifestSchema.pick({ name: true, options: true, input: true }).extend({
  description: z.string(),
  license: z.string(),
  architecture: z.enum(ARCHITECTURE_NAMES),
  repository: z.string().regex(/^[\w-][\w.-]*\/[\w-][\w.-]*$/, 'must be owner/name'),
  /** A commit or a branch. */
  revision: z.string().regex(/^[\w-][\w.-]*$/),
  file: z.string().regex(/^[\w-][\w.-]*\.safetensors$/),
  sha256: manifestSchema.shape.weights.shape.sha256,
  /** Size in bytes. */
  size: z.number().int().positive().optional(),
  /** Top-1 accuracy on ImageNet's validation images in percent, at the size of `input`. */
  top1: z.number().optional(),
});

const catalogSchema = z.strictObject({
  /** File of the labels, which all models share. */
  labels: z.string(),
  models: z.array(entrySchema).min(1),
});

export type CatalogEntry = z.output<typeof entrySchema>;

export interface Catalog {
  /** The name of an architecture stands for its first entry. */
  readonly models: readonly CatalogEntry[];
  /** In class order. */
  readonly labels: readonly Label[];
}

const FOLDER = fileURLToPath(new URL('../../../models/catalog', import.meta.url));

/** Largest edit distance of names that are suggested instead of an unknown one. */
const MAX_DISTANCE = 5;

/** Read and check the catalog. Throws ModelFileError naming the file and the faulty field. */
export async function readCatalog(folder = FOLDER): Promise<Catalog> {
  const { value: catalog } = await readJson(join(folder, 'catalog.json'), catalogSchema);
  const { value: labels } = await readJson(join(folder, catalog.labels), labelsSchema);
  return { models: catalog.models, labels };
}

/** The entry of that name, or the first of that architecture. Throws OperatorError with the nearest names. */
export function findEntry({ models }: Catalog, name: string): CatalogEntry {
  const found = models.find((entry) => entry.name === name) ?? models.find(({ architecture }) => architecture === name);
  if (found !== undefined) return found;
  const names = [...new Set(models.flatMap((entry) => [entry.architecture, entry.name]))];
  const near = names
    .map((known) => ({ known, distance: distance(known, name.toLowerCase()) }))
    .filter((candidate) => candidate.distance <= MAX_DISTANCE)
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map(({ known }) => known);
  const hint = near.length === 0 ? '' : ` Did you mean ${near.join(', ')}?`;
  throw new OperatorError(`The catalog has no weights called "${name}".${hint} Run fullconv pull to list them.`);
}
