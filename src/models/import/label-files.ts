/** Where the names of classes are looked for: files beside a model, under the names that people give them. */
import { readdir } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { readModelFile } from '../files/file-access.js';
import { ModelFileError } from '../files/model-file-error.js';
import type { Label } from '../manifest.js';
import { readLabels } from './label-text.js';

/** The file of the labels in a model folder. */
export const LABELS_FILE = 'labels.json';

/** Limit in bytes for a file of labels. */
const MAX_LABELS_BYTES = 2 ** 23;

/** Files beside a model that are tried, and entries of its folder that are looked at. */
const MAX_FILES = 20;
const MAX_ENTRIES = 10_000;

const NAMES =
  /^(?:.*[._-])?(?:labels?|labelmap|class(?:es)?|class[._-]?(?:names|labels|ind(?:ex|ices))|imagenet[\w.-]*|synsets?(?:[._-]?words)?|categories|names|id2label|idx2label)(?:[._-][\w.-]*)?\.(?:txt|json|names|csv)$/i;

export interface LabelFile {
  readonly file: string;
  readonly labels: readonly Label[];
}

/** The labels of a file that somebody names. Throws ModelFileError if it has none. */
export async function readLabelFile(file: string): Promise<readonly Label[]> {
  const labels = readLabels((await readModelFile(file, MAX_LABELS_BYTES)).toString('utf8'));
  if (labels !== undefined) return labels;
  throw new ModelFileError(
    file,
    'file',
    'has no names of classes in a form that is known: a name a line, or JSON: a list of texts, or a dictionary of names by number',
  );
}

/**
 * The files with labels in a folder, those named after the model `file` first. With `isAlone` those alone count. A file that
 * cannot be read, or has no labels, is left out.
 */
export async function findLabelFiles(folder: string, file: string, isAlone: boolean): Promise<LabelFile[]> {
  const own = await ownLabelFiles(folder, file);
  const names = isAlone ? [] : (await readdir(folder).catch(() => [])).slice(0, MAX_ENTRIES);
  const others = names.filter((name) => NAMES.test(name)).map((name) => join(folder, name));
  const paths = [...new Set([...own, ...others.sort()])].slice(0, MAX_FILES);
  const found = await Promise.all(
    paths.map((path) =>
      readLabelFile(path).then(
        (labels): LabelFile[] => [{ file: path, labels }],
        () => [],
      ),
    ),
  );
  return found.flat();
}

/** The files in a folder that are named after the model `file`: of flowers.onnx flowers.txt or flowers.labels.json. */
async function ownLabelFiles(folder: string, file: string): Promise<string[]> {
  const stem = `${basename(file, extname(file)).toLowerCase()}.`;
  const entries = (await readdir(folder).catch(() => [])).slice(0, MAX_ENTRIES);
  return entries
    .filter((name) => name.toLowerCase().startsWith(stem) && /\.(txt|names|json)$/i.test(name))
    .sort()
    .map((name) => join(folder, name));
}
