import { expect, it } from 'vitest';
import { scopes, words } from '../../../src/cli/option-values.js';

it('words are at least one', () => {
  expect(words('a,,b')).toEqual(['a', 'b']);
  for (const none of ['', ',', ',,']) expect(() => words(none)).toThrow('It must be a name, or several as a,b.');
  expect(() => scopes(',')).toThrow('It must be a list of infer, ');
});
