import { describe, expect, it } from 'vitest';
import { applyPass, applyPasses } from '../../../../src/graph/pass.js';
import { addImageInput, type ImagePreprocessing } from '../../../../src/graph/passes/add-image-input.js';
import { expectClose, randomImage, runGraph, type Value } from '../../../support/ort.js';
import { graphOf, output, tinyResNet } from '../../../support/tiny-graphs.js';

const RGB: ImagePreprocessing = {
  channels: 'RGB',
  range: 255,
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};
const BGR: ImagePreprocessing = { channels: 'BGR', range: 1, mean: [103.939, 116.779, 123.68], std: [1, 2, 3] };

/** [n, h, w, 3] RGB → [n, 3, h, w], by the definition (pixel / range − mean) / std. */
function preprocess({ dims, data }: Value, { channels, range, mean, std }: ImagePreprocessing): Value {
  const [n = 0, h = 0, w = 0] = dims;
  const plane = h * w;
  const values = Float32Array.from({ length: n * 3 * plane }, (_, index) => {
    const [image, c, place] = [Math.floor(index / (3 * plane)), Math.floor(index / plane) % 3, index % plane];
    const pixel = Number(data[(image * plane + place) * 3 + (channels === 'RGB' ? c : 2 - c)]);
    return (pixel / range - mean[c]!) / std[c]!;
  });
  return { dims: [n, 3, h, w], data: values };
}

describe('addImageInput', () => {
  it.each([
    ['RGB', RGB],
    ['BGR', BGR],
  ])('gives the net what preprocessing outside would give it: %s', async (_, preprocessing) => {
    const image = randomImage([2, 40, 33, 3]);
    const { logits } = await runGraph(applyPasses(tinyResNet(), [addImageInput(preprocessing)]), { image });
    const expected = await runGraph(tinyResNet(), { input: preprocess(image, preprocessing) });
    expectClose(logits, expected['logits']);
  });

  it('gives a net of one channel the luma, to the number', async () => {
    const grey = graphOf(['N', 1, 'H', 'W'], (b, x) => [output(b.node('Identity', [x]))]);
    const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, (_, index) => (index * 7919 + (index % 13) * 31) % 256);
    pixels.set([255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255]);
    const given = { channels: 'GRAY', range: 1, mean: [0], std: [1] } as const;
    const image = { dims: [1, 64, 64, 3], data: pixels };
    const [luma] = Object.values(await runGraph(applyPasses(grey, [addImageInput(given)]), { image }));
    expect(luma!.dims).toEqual([1, 1, 64, 64]);
    const expected = Array.from({ length: 64 * 64 }, (_, at) => {
      const [r, g, b] = pixels.subarray(3 * at) as unknown as [number, number, number];
      return (r * 19595 + g * 38470 + b * 7471 + 0x8000) >> 16;
    });
    expect(Array.from(luma!.data, Number)).toEqual(expected);
  });

  it('takes uint8 pixels [N, H, W, 3]', () => {
    const { inputs } = applyPasses(tinyResNet(), [addImageInput(RGB)]);
    expect(inputs).toEqual([{ name: 'image', dataType: 'uint8', dims: ['N', 'H', 'W', 3] }]);
  });

  it('does not match a graph without a float image of three channels, or one', () => {
    const two = graphOf(['N', 2, 'H', 'W'], (b, x) => [output(b.node('Relu', [x]))]);
    expect(applyPass(two, addImageInput(RGB))).toBeUndefined();
    expect(applyPass(applyPasses(tinyResNet(), [addImageInput(RGB)]), addImageInput(RGB))).toBeUndefined();
  });
});
