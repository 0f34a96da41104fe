/**
 * Annotated photographs that heatmaps are scored against. They are read from JSON and checked, and become cases of one
 * photograph and one category each. The JSON has one of two forms:
 *
 * - COCO's: `{ images: [{ id, file_name, width, height }],
 *   annotations: [{ image_id, category_id, bbox, segmentation }], categories: [{ id, name }] }`, segmentation as
 *   polygons or run lengths, compressed or not. Other keys and annotations with `iscrowd: 1` are skipped.
 * - a list with an entry a photograph: `[{ file, width, height, objects: [{ category, bbox_xywh, polygons }] }]`.
 *
 * An object needs a box or a segmentation. Sizes are those of the upright photograph; coordinates are its pixel edges.
 */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { OperatorError } from '../errors.js';
import type { PixelRectangle, PixelSize } from '../maps/input-plan.js';
import { emptyMask, fillRings, fillRuns, type Mask, type Ring, type RunLengths } from '../maps/masks.js';

const box = z.tuple([z.number(), z.number(), z.number().min(0), z.number().min(0)]);
const ring = z.array(z.number()).min(6);
/** Exports of boxes alone have an empty list, which says nothing of where an object is. */
const rings = z.array(ring).transform((rings) => (rings.length === 0 ? undefined : rings));
const runLengths = z.object({
  size: z.tuple([z.int().positive(), z.int().positive()]),
  counts: z.union([z.string(), z.array(z.int())]),
});
const size = { width: z.int().positive(), height: z.int().positive() };

const cocoForm = z.object({
  images: z.array(z.object({ id: z.int(), file_name: z.string().min(1), ...size })),
  annotations: z.array(
    z.object({
      image_id: z.int(),
      category_id: z.int(),
      bbox: box.optional(),
      segmentation: z.union([rings, runLengths]).optional(),
      iscrowd: z.int().optional(),
    }),
  ),
  categories: z.array(z.object({ id: z.int(), name: z.string() })),
});

const listForm = z.array(
  z.object({
    file: z.string().min(1),
    ...size,
    objects: z.array(z.object({ category: z.string(), bbox_xywh: box.optional(), polygons: rings.optional() })),
  }),
);

/** One photograph and one category that it shows. */
export interface LocalizationCase {
  /** The file's name in the annotations. */
  readonly file: string;
  readonly photo: PixelSize;
  readonly category: string;
  /** The box of each object of the category; edges need not be whole pixels. Never empty. */
  readonly boxes: readonly PixelRectangle[];
  /**
   * A new mask of all objects of the category; undefined if one of them has only a box. Throws RangeError if run
   * lengths do not fill the photo.
   */
  readonly mask: () => Mask | undefined;
}

type Segmentation = readonly Ring[] | RunLengths;

interface AnnotatedObject {
  readonly bbox?: readonly [x: number, y: number, width: number, height: number] | undefined;
  readonly segmentation?: Segmentation | undefined;
}

/** Read a file of annotations. Throws OperatorError naming the file and its fault. */
export async function readAnnotations(file: string): Promise<LocalizationCase[]> {
  const parsed = parseJson(file, await readFile(file, 'utf8'));
  try {
    return Array.isArray(parsed) ? casesOfList(listForm.parse(parsed)) : casesOfCoco(cocoForm.parse(parsed));
  } catch (error) {
    if (error instanceof z.ZodError) throw new OperatorError(`${file}: ${z.prettifyError(error)}`, { cause: error });
    if (error instanceof RangeError) throw new OperatorError(`${file}: ${error.message}`, { cause: error });
    throw error;
  }
}

/**
 * The classes of a model that each category stands for: `{ "dog": ["n02085620..n02113978"], "zebra": ["zebra"] }`. A
 * class is an index, an id, a label or a range of ids. Throws OperatorError naming the file and its fault.
 */
export async function readCategories(file: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const parsed = z
    .record(z.string(), z.array(z.string()).min(1))
    .safeParse(parseJson(file, await readFile(file, 'utf8')));
  if (parsed.success) return new Map(Object.entries(parsed.data));
  throw new OperatorError(`${file}: ${z.prettifyError(parsed.error)}`, { cause: parsed.error });
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OperatorError(`${file}: is not JSON`, { cause });
  }
}

function casesOfCoco({ images, annotations, categories }: z.output<typeof cocoForm>): LocalizationCase[] {
  const names = new Map(categories.map(({ id, name }) => [id, name]));
  const ofImage = groupBy(
    annotations.filter(({ iscrowd }) => iscrowd !== 1),
    (annotation) => annotation.image_id,
  );
  return images.flatMap(({ id, file_name: file, ...photo }) =>
    casesOf(
      file,
      photo,
      ofImage.get(id) ?? [],
      (object) => names.get(object.category_id) ?? String(object.category_id),
    ),
  );
}

function casesOfList(photos: z.output<typeof listForm>): LocalizationCase[] {
  return photos.flatMap(({ file, objects, ...photo }) => {
    const annotated = objects.map(({ category, bbox_xywh: bbox, polygons: segmentation }) => ({
      category,
      bbox,
      segmentation,
    }));
    return casesOf(file, photo, annotated, ({ category }) => category);
  });
}

function casesOf<T extends AnnotatedObject>(
  file: string,
  photo: PixelSize,
  objects: readonly T[],
  categoryOf: (object: T) => string,
): LocalizationCase[] {
  return [...groupBy(objects, categoryOf)].map(([category, ofCategory]) => {
    const segmentations = ofCategory.map(({ segmentation }) => segmentation);
    return {
      file,
      photo,
      category,
      boxes: ofCategory.map((object) => boxOf(object, photo)),
      // A mask is as large as its photo: made on demand, so that those of a whole data set are never held at once.
      mask: () => (segmentations.every((known) => known !== undefined) ? maskOf(segmentations, photo) : undefined),
    };
  });
}

function groupBy<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

/** All objects together. Each polygon is filled by itself: COCO's have no holes, and parts of an object may overlap. */
function maskOf(segmentations: readonly Segmentation[], photo: PixelSize): Mask {
  const mask = emptyMask(photo);
  for (const segmentation of segmentations) {
    if ('counts' in segmentation) fillRuns(mask, segmentation);
    else for (const polygon of segmentation) fillRings(mask, [polygon]);
  }
  return mask;
}

function boxOf({ bbox, segmentation }: AnnotatedObject, photo: PixelSize): PixelRectangle {
  if (bbox !== undefined) {
    const [left, top, width, height] = bbox;
    return { left, top, width, height };
  }
  if (segmentation === undefined) throw new RangeError('an object has neither a box nor a segmentation');
  const { values, width } = maskOf([segmentation], photo);
  let [left, top, right, bottom] = [photo.width, photo.height, 0, 0];
  values.forEach((inside, pixel) => {
    if (inside === 0) return;
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
  });
  if (right === 0) throw new RangeError('the segmentation of an object has no pixel');
  return { left, top, width: right - left, height: bottom - top };
}
