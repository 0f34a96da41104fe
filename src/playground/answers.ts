/**
 * Keeps the answers about one photo: no question is asked twice, and each class's map is fetched once. The caller ends
 * superseded questions by their signal. The maps come out with their places in the photo.
 */
import {
  ProblemError,
  queryString,
  type Classification,
  type Client,
  type Heatmaps,
  type ModelDetail,
  type Timing,
} from '../client/index.js';
import { distinctNames } from '../classes/class-search.js';
import { planInput, type StatedSize } from '../maps/input-plan.js';
import { coveredPixels, placeMap } from '../maps/place.js';
import { classifyQuery, heatmapQuery, type Question } from './question.js';
import type { AskedTiming, PlacedMap } from './placed-map.js';

export type Prediction = NonNullable<Classification['results'][number]['predictions']>[number];

export interface Classes {
  readonly predictions: readonly Prediction[];
  readonly input: { readonly width: number; readonly height: number };
  readonly timing: AskedTiming;
}

export interface Answers {
  /** Start over, with another photo. */
  about(photo: Blob): void;
  knownClasses(question: Question): Classes | undefined;
  /** Whether the server refused the question because its scale makes the input too large. */
  isTooLarge(question: Question): boolean;
  classes(question: Question, signal: AbortSignal): Promise<Classes>;
  knownMap(question: Question, index: number): PlacedMap | undefined;
  /** Fetch the maps of the classes that are not known yet, in one request. */
  fetchMaps(question: Question, indices: readonly number[], signal: AbortSignal): Promise<void>;
}

export function createAnswers(client: Client): Answers {
  let photo: Blob | undefined;
  const classes = new Map<string, Classes>();
  const tooLarge = new Set<string>();
  const maps = new Map<string, PlacedMap>();
  const classesKey = (question: Question): string => queryString(classifyQuery(question));
  const mapKey = (question: Question, index: number): string => queryString(heatmapQuery(question, [index]));

  async function timed<T extends { timing: Timing }>(work: Promise<T>): Promise<{ answer: T; timing: AskedTiming }> {
    const started = performance.now();
    const answer = await work;
    return { answer, timing: { ...answer.timing, roundTripMs: performance.now() - started } };
  }

  return {
    about(next) {
      photo = next;
      classes.clear();
      tooLarge.clear();
      maps.clear();
    },
    knownClasses: (question) => classes.get(classesKey(question)),
    isTooLarge: (question) => tooLarge.has(classesKey(question)),
    async classes(question, signal) {
      const key = classesKey(question);
      const known = classes.get(key);
      if (known !== undefined) return known;
      const asking = client.classify(photo!, classifyQuery(question), { signal });
      const { answer, timing } = await timed(asking).catch((error: unknown) => {
        if (isOfScale(error)) tooLarge.add(key);
        throw error;
      });
      const { predictions = [], input = { width: 0, height: 0 } } = answer.results[0]!;
      const names = namesOf(question.model);
      const named = predictions.map((found) => ({ ...found, label: names[found.index] ?? found.label }));
      const found = { predictions: named, input, timing };
      classes.set(key, found);
      return found;
    },
    knownMap: (question, index) => maps.get(mapKey(question, index)),
    async fetchMaps(question, indices, signal) {
      const missing = [...new Set(indices)].filter((index) => !maps.has(mapKey(question, index)));
      if (missing.length === 0) return;
      const { answer, timing } = await timed(client.heatmap(photo!, heatmapQuery(question, missing), { signal }));
      for (const placed of placeMaps(answer, question, timing)) maps.set(mapKey(question, placed.index), placed);
    },
  };
}

function isOfScale(error: unknown): boolean {
  if (!(error instanceof ProblemError) || error.problem.code !== 'IMAGE_TOO_LARGE') return false;
  return error.problem.errors?.some(({ parameter }) => parameter === 'scale') ?? false;
}

const named = new WeakMap<ModelDetail, readonly string[]>();

/** The names of the model's classes on the page, each distinct. */
function namesOf(model: ModelDetail): readonly string[] {
  const names = named.get(model) ?? distinctNames(model.labels ?? []);
  named.set(model, names);
  return names;
}

/**
 * The maps of an answer with their places in the photo, by the server's plan of its input. Throws if the answer does
 * not fit that plan.
 */
function placeMaps({ results }: Heatmaps, { model, fit }: Question, timing: AskedTiming): PlacedMap[] {
  const { width, height, input, map, classes } = results[0]!;
  if (!width || !height || !input || !map || !classes || !model.input) throw new Error('the answer has no map');
  const photo = { width, height };
  const { size, resize } = model.input;
  const plan = planInput(photo, {
    fit,
    size: size as StatedSize,
    resize,
    scale: input.scale,
    step: model.inputStep ?? 1,
  });
  if (plan.crop.width !== input.width || plan.crop.height !== input.height) {
    throw new Error(`the input is ${input.width}×${input.height}, not ${plan.crop.width}×${plan.crop.height}`);
  }
  const common = { placement: placeMap(map, plan), covered: coveredPixels(plan), photo, timing };
  // Only the map of each position's best class has no index, and this page does not ask for it.
  return classes.flatMap(({ index, label, peak, values }) =>
    index === undefined
      ? []
      : [
          {
            index,
            label: namesOf(model)[index] ?? label,
            peak: peak.value,
            map: { values: Float32Array.from(values.flat()), height: map.height, width: map.width },
            ...common,
          },
        ],
  );
}
