import { describe, expect, it } from 'vitest';
import { cutData } from '../../../../src/http/open-inference/json-data.js';
import { readBytes, readTexts } from '../../../../src/http/open-inference/json-values.js';
import { finish } from '../../../../src/maps/steps.js';

const cut = (text: string) => finish(cutData(Buffer.from(text)));
const bytes = (text: string, count: number) => Array.from(finish(readBytes(Buffer.from(text), count, 'data')));
const texts = (text: string, count: number) => finish(readTexts(Buffer.from(text), count, 'data')).map(String);

describe('the data of inputs', () => {
  it('is cut out, and the rest is what JSON.parse makes of it', () => {
    const json =
      '{"id":"a","inputs":[{"name":"x","data":[1,[2]]},{"data" : ["]",2],"shape":[1]}],"outputs":[{"data":[3]}]}';
    const { value, data } = cut(json);
    expect(value).toEqual({
      id: 'a',
      inputs: [
        { name: 'x', data: null },
        { data: null, shape: [1] },
      ],
      outputs: [{ data: [3] }],
    });
    expect([...data].map(([input, text]) => [input, String(text)])).toEqual([
      [0, '[1,[2]]'],
      [1, '["]",2]'],
    ]);
  });

  it.each([
    ['of other objects', '{"inputs":{"data":[1]},"data":[2],"x":[{"data":[3]}]}'],
    ['deeper in an input', '{"inputs":[{"parameters":{"data":[1]}},[{"data":[2]}]]}'],
    ['in texts', String.raw`{"a":"\"inputs\":[{\"data\":[1]}]","inputs":"[{\\"}`],
    ['that is no list', '{"inputs":[{"data":"[1]"},{"data":{"data":[1]}},{"data":5}]}'],
  ])('stays: that %s', (_, json) => {
    const { value, data } = cut(json);
    expect(value).toEqual(JSON.parse(json));
    expect(data.size).toBe(0);
  });

  it('is found under a key with escapes, and behind a byte order mark', () => {
    expect(
      cut(String.raw`{"inp\u0075ts":[{"d\u0061ta":[7]}]}`)
        .data.get(0)
        ?.toString(),
    ).toBe('[7]');
    expect(cut('\ufeff{"inputs":[{"data":[7]}]}').data.get(0)?.toString()).toBe('[7]');
  });

  it.each([
    ['', 'is no JSON'],
    ['{"inputs":[{"data":[1', 'has a list without an end'],
    ['{"inputs":[{"data":["a]}]}', 'has a text without an end'],
    ['{"inputs":[{"data":[1],"data":[2]}]}', 'has inputs[0].data twice'],
    [`{"inputs":[{"data":${'['.repeat(101)}${']'.repeat(101)}}]}`, 'more than 100 lists'],
    ['['.repeat(101), 'more than 100 lists and objects'],
    [`{"x":"${'a'.repeat(70_000)}"}`, 'more than 65536 bytes of JSON beside'],
    ['{"inputs":[{"data":[1]}}', 'is no JSON'],
  ])('of %j is refused', (json, message) => {
    expect(() => cut(json)).toThrow(message);
  });

  it.each([
    ['of quotes', String.raw`{"id":"${String.raw`\"`.repeat(100_000)}"}`],
    ['of backslashes', `{"id":"${'\\\\'.repeat(100_000)}"}`],
    ['of quotes in data', `{"inputs":[{"data":["${'\\"'.repeat(100_000)}"]}]}`],
    ['of numbers', `{"inputs":[{"data":[${'1,'.repeat(100_000)}1]}]}`],
  ])('is looked for in steps, also in texts %s', (_, json) => {
    const steps = cutData(Buffer.from(json));
    let count = 0;
    try {
      while (!steps.next().done) count += 1;
    } catch {
      // Too much beside the data.
    }
    expect(count).toBeGreaterThan(20);
  });

  it('may be megabytes', () => {
    const json = `{"inputs":[{"data":[${'255,'.repeat(500_000)}0]}],"id":"b"}`;
    expect(cut(json).value).toEqual({ inputs: [{ data: null }], id: 'b' });
  });
});

describe('values', () => {
  it.each([
    ['[1,2,255]', [1, 2, 255]],
    [' [ [ 0 , 10 ] , [ 200 , 3 ] ] ', [0, 10, 200, 3]],
    ['[1.0,2e2,25.5e1,-0]', [1, 200, 255, 0]],
    ['[]', []],
    ['[[],[5]]', [5]],
  ])('of %s are read row by row', (text, values) => {
    expect(bytes(text, values.length)).toEqual(values);
  });

  it.each([
    '[256]',
    '[-1]',
    '[1.5]',
    '[01]',
    '[0x1]',
    '[1_0]',
    '["1"]',
    '[true]',
    '[null]',
    '[+1]',
    '[1e]',
    '[NaN]',
    '[9999]',
  ])('of %s are no bytes', (text) => {
    expect(() => bytes(text, 1)).toThrow(
      expect.objectContaining({ errors: [expect.objectContaining({ parameter: 'data[0]' })] }),
    );
  });

  it.each(['[1,,2]', '[,1]', '[1,]', '[1 2]', '[[1][2]]'])('of %s are no JSON', (text) => {
    expect(() => bytes(text, 2)).toThrow();
  });

  it('are as many as the shape says', () => {
    const fault = (detail: string) => expect.objectContaining({ errors: [{ parameter: 'data', detail }] }) as Error;
    expect(() => bytes('[1,2,3]', 2)).toThrow(fault('has more than 2 values'));
    expect(() => bytes('[1,2,3]', 4)).toThrow(fault('has 3 values, and not 4'));
    expect(() => bytes('[1]', 1e9)).toThrow(fault('has fewer than 1000000000 values'));
  });

  it('take no memory beside the text', () => {
    const text = Buffer.from('[1,2,3]');
    expect(finish(readBytes(text, 3, 'data')).buffer).toBe(text.buffer);
  });

  it('are texts as they are written', () => {
    expect(texts(String.raw`["a", ["b\"]", ""]]`, 3)).toEqual(['a', String.raw`b\"]`, '']);
    expect(() => texts('["a",1]', 2)).toThrow();
    expect(() => texts('["a"]', 2)).toThrow();
  });
});
