/** Pickles that are made to do harm: nothing is executed, and what they cost is bounded. */
import { closeSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ModelFileError } from '../../../../src/models/files/model-file-error.js';
import { FileCursor } from '../../../../src/models/import/file-cursor.js';
import {
  OpaqueObject,
  PickledTensor,
  readPickle,
  PickledStorage,
  type Pickled,
} from '../../../../src/models/import/pickle.js';
import { inFolder } from '../../../support/import.js';

/** The object of a pickle, given as bytes or as text of protocol 0. */
function read(pickle: Buffer | string): Promise<Pickled> {
  const bytes = typeof pickle === 'string' ? Buffer.from(pickle, 'latin1') : pickle;
  return inFolder(async (folder) => {
    const file = join(folder, 'data.pkl');
    await writeFile(file, bytes);
    const descriptor = openSync(file, 'r');
    try {
      return readPickle(new FileCursor(file, descriptor, { begin: 0, end: bytes.length }), (id) => {
        const [, , key] = id as readonly Pickled[];
        return new PickledStorage('FloatStorage', key as string, 8);
      });
    } finally {
      closeSync(descriptor);
    }
  });
}

describe('readPickle', () => {
  it('reads plain data of every protocol', async () => {
    // pickle.dumps({'a': [1, -2, 2**40, 1.5, None, True, 'ä', b'x', (3,)]}, protocol)
    const texts = [
      '(dp0\nVa\np1\n(lp2\nI1\naI-2\naL1099511627776L\naF1.5\naNaI01\naV\xe4\np3\na(I3\ntp4\nas.',
      '\x80\x02}q\x00X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xfe\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01G?\xf8\x00\x00\x00\x00\x00\x00N\x88X\x02\x00\x00\x00\xc3\xa4q\x03K\x03\x85q\x04es.',
      '\x80\x04\x95\x20\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94]\x94(K\x01J\xfe\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01G?\xf8\x00\x00\x00\x00\x00\x00N\x88\x8c\x02\xc3\xa4\x94K\x03\x85\x94es.',
    ];
    for (const text of texts) {
      expect(await read(text)).toEqual(new Map([['a', [1, -2, 2 ** 40, 1.5, null, true, 'ä', [3]]]]));
    }
  });

  it.each([
    ['a call', 'cos\nsystem\n(S"touch /tmp/fullconv-was-executed"\ntR.', 'os.system'],
    ['a call by name from the stack', '\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.', 'os.system'],
    ['an instance', '(S"x"\nios\nsystem\n.', 'os.system'],
    ['an object', '(cos\nsystem\nS"x"\no.', 'os.system'],
    ['a new object with keywords', '\x80\x04\x8c\x02os\x8c\x06system\x93)}\x92.', 'os.system'],
    ["Python 2's reconstructor", 'ccopy_reg\n_reconstructor\n(cevil\nThing\nc__builtin__\nobject\nNtR.', 'evil.Thing'],
    ['a state for it', 'cevil\nThing\n)\x81}(S"__class__"\nI1\nub.', 'evil.Thing'],
    ['an extension', '\x80\x02\x82\x01.', 'an extension'],
  ])('makes an opaque object of %s', async (_, pickle, name) => {
    expect(await read(pickle)).toEqual(new OpaqueObject(name));
  });

  it('makes nothing of a tensor whose parts are none', async () => {
    const rebuilt = 'ctorch._utils\n_rebuild_tensor_v2\n';
    expect(await read(`${rebuilt}(I1\nI0\n(I2\nt(I1\ntI00\nNtR.`)).toBeInstanceOf(OpaqueObject);
    expect(
      await read(`${rebuilt}((S"storage"\nctorch\nFloatStorage\nS"0"\nS"cpu"\nI8\ntQI0\n(I-2\nt(I1\nttR.`),
    ).toBeInstanceOf(OpaqueObject);
    expect(
      await read(`${rebuilt}((S"storage"\nctorch\nFloatStorage\nS"0"\nS"cpu"\nI8\ntQI0\n(I2\nt(I1\nttR.`),
    ).toBeInstanceOf(PickledTensor);
  });

  it.each([
    ['nothing', ''],
    ['an unknown operation', '\x80\x02\xff.'],
    ['an empty stack', '.'],
    ['a mark that there is not', 'l.'],
    ['a memo that there is not', 'h\x07.'],
    ['an item for a number', 'I1\nI2\na.'],
    ['a key without a value', '}(I1\nu.'],
    ['a text that is longer than the file', 'X\xff\xff\xff\x7fabc.'],
    ['bytes of an absurd length', '\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.'],
    ['a number of an absurd length', '\x8b\xff\xff\xff\x7f1.'],
    ['a line without an end', `c${'a'.repeat(100_000)}`],
  ])('refuses %s', async (_, pickle) => {
    await expect(read(pickle)).rejects.toBeInstanceOf(ModelFileError);
  });

  it('shares what a pickle shares: laughs by the billion stay as few as they are written', async () => {
    // Each of 60 lists holds the one before ten times.
    const levels = Array.from(
      { length: 60 },
      (_, level) => `(${'g' + String(level) + '\n'}`.repeat(1) + `g${level}\n`.repeat(9) + `lp${level + 1}\n`,
    );
    const value = await read(`(lp0\n${levels.join('')}.`);
    expect(Array.isArray(value) && value.length).toBe(10);
  });

  it('reads objects that hold themselves', async () => {
    const value = (await read('(lp0\ng0\na.')) as readonly Pickled[];
    expect(value[0]).toBe(value);
  });

  it.each([
    ['lists', ']'],
    ['marks', '('],
    ['constants', 'N'],
  ])('ends at a limit of %s', async (_, operation) => {
    await expect(read(Buffer.alloc(3e6, operation))).rejects.toThrow('far more objects');
  });
});
