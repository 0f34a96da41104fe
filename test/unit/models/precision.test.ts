import { expect, it } from 'vitest';
import type { Precision } from '../../../src/models/manifest.js';
import { choosePrecision, type Computing } from '../../../src/models/precision.js';

const BRAIN: Computing = { autocast: 'bf16' };
const HALF: Computing = { computesHalf: true };

it.each<[Precision | undefined, Computing, Precision, boolean]>([
  [undefined, {}, 'fp32', false],
  [undefined, HALF, 'fp32', false],
  [undefined, BRAIN, 'bf16', false],
  [undefined, { ...BRAIN, precision: 'fp32' }, 'fp32', false],
  [undefined, { ...BRAIN, precision: 'bf16' }, 'bf16', true],
  ['fp32', BRAIN, 'fp32', false],
  ['fp32', { ...BRAIN, precision: 'bf16' }, 'fp32', false],
  ['bf16', {}, 'fp32', false],
  ['bf16', BRAIN, 'bf16', true],
  ['fp16', {}, 'fp32', false],
  ['fp16', HALF, 'fp16', true],
  ['fp16', { ...HALF, precision: 'fp32' }, 'fp32', false],
  ['fp16', BRAIN, 'bf16', true],
  ['int8', { ...BRAIN, precision: 'bf16' }, 'int8', false],
])(
  'a model that states %s, where %o computes it, is computed in %s (asked for: %s)',
  (precision, computing, chosen, isAskedFor) => {
    expect(choosePrecision(precision === undefined ? {} : { precision }, computing)).toEqual({
      precision: chosen,
      isAskedFor,
    });
  },
);
