import { describe, expect, it } from 'vitest';
import type { ModelDetail } from '../../../src/client/index.js';
import {
  SCALES,
  classifyQuery,
  curlCommand,
  heatmapQuery,
  pictureQuery,
  type MapStyle,
} from '../../../src/playground/question.js';
import { questionAbout } from '../../support/page-question.js';

const MODEL: ModelDetail = { name: 'tiny', state: 'ready', default: true, classes: 10 };

const asking = questionAbout(MODEL);

const STYLE: MapStyle = { colormap: 'viridis', opacity: 0.6, range: 'minmax', interpolation: 'nearest' };

describe('the query for classes', () => {
  it('asks for all classes of the model, at one scale', () => {
    expect(classifyQuery(asking({ scale: 1.5 }))).toEqual({ model: 'tiny', fit: 'whole', scale: [1.5], topK: 10 });
  });

  it('asks for no more classes than anyone looks at', () => {
    expect(classifyQuery(asking({ model: { ...MODEL, classes: 21_843 } })).topK).toBe(1000);
  });

  it('asks for five of a model that does not say how many it has', () => {
    const { classes: _, ...model } = MODEL;
    expect(classifyQuery(asking({ model })).topK).toBe(5);
  });

  it('is the same whatever the map is to be: its answer is known then', () => {
    const classes = classifyQuery(asking());
    expect(classifyQuery(asking({ average: [0.5, 1], outputStride: 8, edge: 'same', map: 'cells' }))).toEqual(classes);
    expect(classifyQuery(asking({ flip: true }))).not.toEqual(classes);
  });
});

describe('the query for maps', () => {
  it('leaves out what the API does by itself', () => {
    expect(heatmapQuery(asking(), [3, 4])).toEqual({ model: 'tiny', class: ['3', '4'], fit: 'whole', scale: [1] });
  });

  it('names what is chosen', () => {
    expect(heatmapQuery(asking({ fit: 'crop', flip: true, outputStride: 8, edge: 'same', map: 'cells' }), [3])).toEqual(
      {
        model: 'tiny',
        class: ['3'],
        fit: 'crop',
        scale: [1],
        flip: true,
        outputStride: 8,
        edge: 'same',
        map: 'cells',
      },
    );
  });

  it('says that a number is an index where it is the label of another class', () => {
    const labels = ['2', 'b', 'c', 'd'].map((label, index) => ({ id: `n${index}`, label }));
    expect(heatmapQuery(asking({ model: { ...MODEL, labels } }), [0, 2, 3]).class).toEqual(['0', 'index:2', '3']);
  });

  it('averages over multiples of the scale, to three decimals', () => {
    expect(heatmapQuery(asking({ scale: 1.1, average: [0.75, 1, 1.5] }), [3]).scale).toEqual([0.825, 1.1, 1.65]);
  });

  it('shows what the classes were told of where the model has a size and scores of its own for maps', () => {
    const input = { size: 64, resize: 72, interpolation: 'bilinear', channels: 'RGB', range: 1, mean: [0], std: [1] };
    const model: ModelDetail = { ...MODEL, input, maps: { size: 80, scores: 'normalized' } };
    expect(heatmapQuery(asking({ model }), [3]).size).toBe(64);
    expect(heatmapQuery(asking({ model, fit: 'crop' }), [3])).not.toHaveProperty('size');
    expect(heatmapQuery(asking({ model: { ...MODEL, input } }), [3])).not.toHaveProperty('size');
    expect(pictureQuery(asking({ model }), 3, STYLE).scores).toBe('probability');
    expect(pictureQuery(asking(), 3, STYLE)).not.toHaveProperty('scores');
  });

  it('of a picture adds how it looks', () => {
    const question = asking({ scale: 2 });
    expect(pictureQuery(question, 3, STYLE)).toEqual({
      ...heatmapQuery(question, [3]),
      colormap: 'viridis',
      alpha: 0.6,
      range: 'minmax',
      interpolation: 'nearest',
    });
  });
});

describe('the commands', () => {
  const BASE = 'https://example.org/ask/';

  it('ask for the five best classes, and for no map where there is none', () => {
    expect(curlCommand(BASE, 'cat.jpg', asking(), undefined, STYLE, false)).toBe(
      "curl --data-binary '@cat.jpg' 'https://example.org/ask/v1/classify?model=tiny&fit=whole&scale=1&topK=5'",
    );
  });

  it('ask for the picture that the page shows', () => {
    const [, map] = curlCommand(BASE, 'cat.jpg', asking({ flip: true }), 3, STYLE, false).split('\n\n');
    expect(map).toBe(
      "curl --data-binary '@cat.jpg' 'https://example.org/ask/v1/heatmap?model=tiny&class=3&fit=whole&scale=1&flip=true" +
        "&colormap=viridis&alpha=0.6&range=minmax&interpolation=nearest' -o heatmap.png",
    );
  });

  it('name a variable of the shell where there is a key', () => {
    const text = curlCommand(BASE, 'cat.jpg', asking(), undefined, STYLE, true);
    expect(text).toMatch(/^curl -H "Authorization: Bearer \$FULLCONV_API_KEY" --data-binary '@cat.jpg' /);
  });

  it('keep a shell from reading the name of a file', () => {
    const text = curlCommand(BASE, "it's $HOME.jpg", asking(), undefined, STYLE, false);
    expect(text).toContain(`--data-binary '@it'\\''s $HOME.jpg' `);
  });
});

it('the slider stops at 1, and at scales in their order', () => {
  expect(SCALES).toContain(1);
  expect([...SCALES].sort((a, b) => a - b)).toEqual(SCALES);
});
