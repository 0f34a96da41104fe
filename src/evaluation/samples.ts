/**
 * Images below a folder, with and without labels. Three layouts are understood: Tiny ImageNet's (`val_annotations.txt` beside `images/`), one
 * folder for each class, named by its id, and files with the class id in their names.
 */
import { readFile, readdir } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';
import { OperatorError } from '../errors.js';
import { IMAGE_EXTENSIONS } from '../images/image-format.js';

/** An image and what it shows. */
export interface Sample {
  readonly file: string;
  readonly classIndex: number;
}

/** The classes of a model, in their order. */
type Classes = readonly { readonly id: string }[];

/** The images below a folder whose class is among `classes`, in the order of their names. */
export async function findSamples(folder: string, classes: Classes): Promise<Sample[]> {
  const classOf = indexById(classes);
  const annotations = await readFile(join(folder, 'val_annotations.txt'), 'utf8').catch(() => undefined);
  const named: (readonly [string, string])[] =
    annotations === undefined
      ? (await readdir(folder, { recursive: true })).sort().map((file) => [file, idIn(file, classOf) ?? ''])
      : annotations
          .trim()
          .split('\n')
          .map((line) => line.split('\t'))
          .map(([file = '', id = '']) => [join('images', file), id]);
  return named.flatMap(([file, id]) => {
    const classIndex = classOf.get(id);
    const isImage = IMAGE_EXTENSIONS.has(extname(file).toLowerCase());
    return classIndex === undefined || !isImage ? [] : [{ file: join(folder, file), classIndex }];
  });
}

/**
 * At most `count` of the labelled images, evenly spread over them, so that every class of a folder of classes has its part.
 * Throws OperatorError if there is none; `model` is for its message.
 */
export async function chooseSamples(
  folder: string,
  { classes, model, count = Infinity }: { readonly classes: Classes; readonly model: string; readonly count?: number },
): Promise<Sample[]> {
  const samples = await findSamples(folder, classes);
  if (samples.length === 0) throw new OperatorError(`${folder} has no image of a class of ${model}`);
  return spread(samples, count);
}

/** `count` images of a folder and its subfolders, evenly spread over the sorted names; all if there are fewer. */
export async function chooseImages(folder: string, count = Infinity): Promise<readonly string[]> {
  const names = (await readdir(folder, { recursive: true }))
    .filter((name) => IMAGE_EXTENSIONS.has(extname(name).toLowerCase()))
    .sort();
  return spread(names, count).map((name) => join(folder, name));
}

/** At most `count` of a list, evenly spread over it. */
export function spread<T>(list: readonly T[], count: number): T[] {
  const taken = Math.min(count, list.length);
  return Array.from({ length: taken }, (_, index) => list[Math.floor((index * list.length) / taken)]!);
}

/** The class whose id is a word of a file's name, as in `n02504458_African_elephant.JPEG`; undefined if there is none. */
export function classInName(file: string, classes: Classes): number | undefined {
  const classOf = indexById(classes);
  const id = wordIn(file, classOf);
  return id === undefined ? undefined : classOf.get(id);
}

function indexById(classes: Classes): Map<string, number> {
  return new Map(classes.map(({ id }, index) => [id, index]));
}

/** The class id that is the name of the file's folder, or a word of the file's name. */
function idIn(file: string, classOf: ReadonlyMap<string, number>): string | undefined {
  const parts = file.split(sep);
  const folder = parts.at(-2);
  return folder !== undefined && classOf.has(folder) ? folder : wordIn(parts.at(-1)!, classOf);
}

function wordIn(name: string, classOf: ReadonlyMap<string, number>): string | undefined {
  return name.split(/[^A-Za-z0-9]+/).find((word) => classOf.has(word));
}
