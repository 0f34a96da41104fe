import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  ProblemError,
  type Classification,
  type Client,
  type Heatmaps,
  type HeatmapQuery,
  type ModelDetail,
  type Problem,
} from '../../../src/client/index.js';
import { createAnswers, type Answers } from '../../../src/playground/answers.js';
import { questionAbout } from '../../support/page-question.js';

/** Two classes of one name, as ImageNet has them. */
const LABELS = [
  { id: 'n1', label: 'crane' },
  { id: 'n2', label: 'crane' },
  { id: 'n3', label: 'cat' },
];
const MODEL: ModelDetail = {
  name: 'tiny',
  state: 'ready',
  default: true,
  classes: 3,
  labels: LABELS,
  input: {
    size: 64,
    resize: 72,
    interpolation: 'bilinear',
    channels: 'RGB',
    range: 255,
    mean: [0, 0, 0],
    std: [1, 1, 1],
  },
};
const TIMING = { decodeMs: 1, queueMs: 2, inferMs: 3, batchSize: 1 };
const REFERENCE = { name: 'tiny', version: '1', digest: 'd', precision: 'fp32' as const, engine: 'onnxruntime' };
const { signal } = new AbortController();

const asking = questionAbout(MODEL);

function classification(): Classification {
  const predictions = LABELS.map((label, index) => ({ index, ...label, probability: 0.9 / (index + 1) }));
  const input = { width: 96, height: 64, scale: 1 };
  return {
    model: REFERENCE,
    results: [{ name: 'image-0', width: 300, height: 200, input, predictions }],
    timing: TIMING,
  };
}

/** Maps of 2 × 3 cells, all of whose values are the class's index. */
function heatmaps({ class: classes = [] }: HeatmapQuery, input = { width: 96, height: 64, scale: 1 }): Heatmaps {
  const map = { kind: 'windows' as const, width: 3, height: 2, outputStride: 32, offset: 16, receptiveField: 32 };
  return {
    model: REFERENCE,
    scores: 'probability',
    threshold: { value: 0.5, of: 'range' },
    results: [
      {
        name: 'image-0',
        width: 300,
        height: 200,
        input,
        map,
        classes: classes.map(Number).map((index) => ({
          index,
          ...LABELS[index]!,
          peak: { x: 1, y: 2, value: index / 10 },
          level: 0,
          share: 1,
          regions: [],
          mean: 0,
          values: [
            [index, index, index],
            [index, index, index],
          ],
        })),
      },
    ],
    timing: TIMING,
  };
}

function refusal(parameter: string): ProblemError {
  const problem: Problem = {
    type: 'about:blank',
    title: 'The image has too many pixels',
    status: 422,
    detail: 'It is too large.',
    code: 'IMAGE_TOO_LARGE',
    errors: [{ parameter, detail: 'too large' }],
  };
  return new ProblemError(problem);
}

const classify = vi.fn<Client['classify']>();
const heatmap = vi.fn<Client['heatmap']>();
const photo = new Blob(['photo']);
let answers: Answers;

beforeEach(() => {
  classify.mockReset().mockImplementation(() => Promise.resolve(classification()));
  heatmap.mockReset().mockImplementation((_, query = {}) => Promise.resolve(heatmaps(query)));
  answers = createAnswers({ classify, heatmap } as unknown as Client);
  answers.about(photo);
});

describe('the classes', () => {
  it('are asked for once, with the photo and the signal', async () => {
    expect(answers.knownClasses(asking())).toBeUndefined();
    const found = await answers.classes(asking(), signal);
    expect(classify).toHaveBeenCalledExactlyOnceWith(photo, expect.objectContaining({ model: 'tiny' }), { signal });
    expect(await answers.classes(asking(), signal)).toBe(found);
    expect(answers.knownClasses(asking())).toBe(found);
    expect(classify).toHaveBeenCalledOnce();
  });

  it('are asked for again at another scale, not for another stride of the map', async () => {
    await answers.classes(asking(), signal);
    await answers.classes(asking({ outputStride: 8 }), signal);
    expect(classify).toHaveBeenCalledOnce();
    await answers.classes(asking({ scale: 2 }), signal);
    expect(classify).toHaveBeenCalledTimes(2);
  });

  it('have names that tell them apart, the size of the input, and how long they took', async () => {
    const { predictions, input, timing } = await answers.classes(asking(), signal);
    const names = predictions.map(({ label }) => label);
    expect(new Set(names).size).toBe(3);
    expect(names[2]).toBe('cat');
    expect(input).toMatchObject({ width: 96, height: 64 });
    expect(timing).toMatchObject(TIMING);
    expect(timing.roundTripMs).toBeGreaterThanOrEqual(0);
  });

  it('of another photo are not those of the last one', async () => {
    await answers.classes(asking(), signal);
    answers.about(new Blob(['another']));
    expect(answers.knownClasses(asking())).toBeUndefined();
  });

  it('are asked for again after a failure', async () => {
    classify.mockRejectedValueOnce(new Error('no answer'));
    await expect(answers.classes(asking(), signal)).rejects.toThrow('no answer');
    expect(answers.isTooLarge(asking())).toBe(false);
    expect((await answers.classes(asking(), signal)).predictions).toHaveLength(3);
  });
});

describe('a scale that is too large', () => {
  it('is remembered, for that scale and that photo', async () => {
    classify.mockRejectedValue(refusal('scale'));
    await expect(answers.classes(asking({ scale: 10 }), signal)).rejects.toThrow(ProblemError);
    expect(answers.isTooLarge(asking({ scale: 10 }))).toBe(true);
    expect(answers.isTooLarge(asking({ scale: 7 }))).toBe(false);
    answers.about(new Blob(['another']));
    expect(answers.isTooLarge(asking({ scale: 10 }))).toBe(false);
  });

  it('is not to blame for a size that is too large by itself', async () => {
    classify.mockRejectedValue(refusal('size'));
    await expect(answers.classes(asking(), signal)).rejects.toThrow(ProblemError);
    expect(answers.isTooLarge(asking())).toBe(false);
  });
});

describe('the maps', () => {
  it('of several classes come in one request, and only those that are missing', async () => {
    await answers.fetchMaps(asking(), [2, 0, 2], signal);
    expect(heatmap.mock.lastCall![1]!.class).toEqual(['2', '0']);
    await answers.fetchMaps(asking(), [0, 1, 2], signal);
    expect(heatmap.mock.lastCall![1]!.class).toEqual(['1']);
    await answers.fetchMaps(asking(), [0, 1, 2], signal);
    expect(heatmap).toHaveBeenCalledTimes(2);
  });

  it('belong to their question', async () => {
    await answers.fetchMaps(asking(), [2], signal);
    expect(answers.knownMap(asking(), 2)).toMatchObject({ index: 2, label: 'cat', peak: 0.2 });
    expect(answers.knownMap(asking(), 1)).toBeUndefined();
    expect(answers.knownMap(asking({ edge: 'same' }), 2)).toBeUndefined();
    answers.about(photo);
    expect(answers.knownMap(asking(), 2)).toBeUndefined();
  });

  it('lie in the photo where the network looked', async () => {
    await answers.fetchMaps(asking(), [1], signal);
    const { map, photo: size, covered, placement } = answers.knownMap(asking(), 1)!;
    expect(map).toEqual({ values: new Float32Array(6).fill(1), width: 3, height: 2 });
    expect(size).toEqual({ width: 300, height: 200 });
    expect(covered).toEqual({ left: 0, top: 0, width: 300, height: 200 });
    // 300 × 200 pixels became 96 × 64; the first cell's centre is 16 of those from the corner.
    expect((50 * placement.scaleX + placement.offsetX).toFixed(9)).toBe('0.000000000');
    expect((150 * placement.scaleY + placement.offsetY).toFixed(9)).toBe('1.000000000');
  });

  it('of a cropped photo cover its centre', async () => {
    heatmap.mockImplementation((_, query = {}) =>
      Promise.resolve(heatmaps(query, { width: 64, height: 64, scale: 1 })),
    );
    const question = asking({ fit: 'crop' });
    await answers.fetchMaps(question, [1], signal);
    const { covered } = answers.knownMap(question, 1)!;
    expect(covered.top).toBeGreaterThan(0);
    expect(Math.abs(covered.left + covered.width / 2 - 150)).toBeLessThan(2);
  });

  it('are refused where the server’s input is not the one that the page reckons with', async () => {
    heatmap.mockImplementation((_, query = {}) =>
      Promise.resolve(heatmaps(query, { width: 97, height: 64, scale: 1 })),
    );
    await expect(answers.fetchMaps(asking(), [1], signal)).rejects.toThrow('the input is 97×64, not 96×64');
    expect(answers.knownMap(asking(), 1)).toBeUndefined();
  });
});
