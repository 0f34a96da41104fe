import { describe, expect, it } from 'vitest';
import { readLabels } from '../../../../src/models/import/label-text.js';
import { readPythonLiteral } from '../../../../src/models/import/python-literal.js';

const names = (text: string): string[] | undefined => readLabels(text)?.map(({ label }) => label);
const ids = (text: string): string[] | undefined => readLabels(text)?.map(({ id }) => id);

describe('the names of classes are read from', () => {
  it.each<[string, string, string[]]>([
    ['a name a line', 'cat\ndog\n', ['cat', 'dog']],
    ["names that are numbers, in the names' order", '{"0": 0, "1": 1, "10": 2, "2": 3}', ['0', '1', '10', '2']],
    ['lines of Windows, with a mark of their order of bytes', '\ufeffcat\r\ndog\r\n', ['cat', 'dog']],
    ["Teachable Machine's numbered lines", '0 Katze, grau\n1 Class 2\n', ['Katze, grau', 'Class 2']],
    ['lines numbered from one', '1: cat\n2: dog', ['cat', 'dog']],
    ['names that are numbers, or begin with some', '7 of spades\n3 of hearts', ['7 of spades', '3 of hearts']],
    ['quoted names', '"cat"\n"great dane"', ['cat', 'great dane']],
    ['a JSON list', '["cat", "dog"]', ['cat', 'dog']],
    ['a JSON list of labels', '[{"id": "a", "label": "cat"}]', ['cat']],
    ['a JSON dictionary by number, in any order', '{"1": "dog", "0": "cat"}', ['cat', 'dog']],
    ["Keras' class_indices, by name", '{"cat": 1, "dog": 0}', ['dog', 'cat']],
    [
      "Keras' imagenet_class_index",
      '{"0": ["n01440764", "tench"], "1": ["n01443537", "goldfish"]}',
      ['tench', 'goldfish'],
    ],
    ['a dictionary inside of another', '{"model": "x", "labels": ["cat", "dog"]}', ['cat', 'dog']],
    ["Python's dictionary", "{0: 'tench, Tinca tinca',\n 1: \"it's\"}", ['tench, Tinca tinca', "it's"]],
    ["Python's list", "['cat', 'dog',]", ['cat', 'dog']],
    ['synsets with names', 'n01440764 tench, Tinca tinca\nn01443537 goldfish', ['tench, Tinca tinca', 'goldfish']],
    ['synsets alone', 'n01440764\nn01443537', ['n01440764', 'n01443537']],
  ])('%s', (_, text, expected) => {
    expect(names(text)).toEqual(expected);
  });

  it("keeps WordNet's ids, and makes ids of numbers otherwise", () => {
    expect(ids('n01440764 tench\nn01443537 goldfish')).toEqual(['n01440764', 'n01443537']);
    expect(ids('{"0": ["n01440764", "tench"]}')).toEqual(['n01440764']);
    expect(ids('cat\ncat')).toEqual(['class-0', 'class-1']);
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['a dictionary with a gap', '{"0": "cat", "2": "dog"}'],
    ['a dictionary of other things', '{"epochs": 10, "rate": 0.1}'],
    ['a JSON list that is cut', '["cat", "do'],
    ['lists in lists', '[["a"]]'],
    ['names of more than 500 characters', 'a'.repeat(501)],
    ['a text with paragraphs', 'A model.\n\nIt knows cats.'],
  ])('but not from %s', (_, text) => {
    expect(names(text)).toBeUndefined();
  });
});

describe("Python's literals", () => {
  it('have texts with escapes, numbers, words, tuples', () => {
    expect(readPythonLiteral(String.raw`('a\'b\n\xe9\u20ac', -1.5e3, True, None, {})`)).toEqual([
      "a'b\né€",
      -1500,
      true,
      null,
      new Map(),
    ]);
  });

  it.each([
    '__import__("os").system("x")',
    '{0: open("x")}',
    "{0 'a'}",
    "{'a': 1",
    "'a",
    '1 2',
    '[1 2]',
    `${'['.repeat(100)}${']'.repeat(100)}`,
    String.raw`'\uzzzz'`,
    '',
  ])('are not: %s', (text) => {
    expect(readPythonLiteral(text)).toBeUndefined();
  });

  it('of a megabyte are read in time', () => {
    const text = `{${Array.from({ length: 50_000 }, (_, index) => `${index}: 'class \\' ${index}'`).join(', ')}}`;
    expect(readLabels(text)).toHaveLength(50_000);
  });
});
