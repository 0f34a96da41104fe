import { describe, expect, it } from 'vitest';
import { EMBEDDED, groupsOf, MIXED_SIZES, readScenario, type Scenario } from '../../../load/scenario.js';
import { ARCHITECTURE_NAMES } from '../../../src/architectures/index.js';
import { findModelFolders } from '../../../src/models/model-folders.js';
import { OperatorError } from '../../../src/errors.js';

const scenario = (...args: string[]): Scenario => readScenario(args)!;

describe('the command line', () => {
  it('takes lists, and each word of them once', () => {
    const { models, concurrency, shares } = scenario(
      ...['--models', 'resnet50,vgg16,resnet50', '--concurrency', '1,8', '--open-loop', '0.5'],
    );
    expect(models).toEqual(['resnet50', 'vgg16']);
    expect(concurrency).toEqual([1, 8]);
    expect(shares).toEqual([0.5]);
  });

  it('means the embedded models and every architecture by all, each measured briefly', () => {
    const { models, every, shares, durationS, rounds } = scenario('--models', 'all');
    expect(models).toEqual([...EMBEDDED, ...ARCHITECTURE_NAMES]);
    expect({ every, shares, durationS, rounds }).toEqual({ every: true, shares: [], durationS: 2, rounds: 1 });
  });

  it('measures all as thoroughly as it is told to, and a few thoroughly', () => {
    const thorough = ['--duration', '30', '--rounds', '3', '--open-loop', '0.7'];
    const all = scenario('--models', 'all', ...thorough);
    expect([all.durationS, all.rounds, all.shares]).toEqual([30, 3, [0.7]]);
    const few = scenario('--models', 'resnet50');
    expect([few.every, few.durationS, few.rounds, few.shares]).toEqual([false, 15, 5, [0.5, 0.7, 0.9]]);
  });

  it('knows every model of the folder models as an embedded one', async () => {
    expect([...(await findModelFolders('models')).keys()]).toEqual([...EMBEDDED].sort());
  });

  it('means no open loop by none', () => {
    expect(scenario('--open-loop', 'none').shares).toEqual([]);
  });

  it('compares engines, each with an execution provider', () => {
    expect(scenario().engines).toEqual([]);
    expect(scenario('--engines', 'onnxruntime,tensorflow/wasm').engines).toEqual([
      { name: 'onnxruntime', settings: { FULLCONV_ENGINE: 'onnxruntime', FULLCONV_DEVICE: 'cpu' } },
      { name: 'tensorflow/wasm', settings: { FULLCONV_ENGINE: 'tensorflow', FULLCONV_DEVICE: 'wasm' } },
    ]);
  });

  it.each([
    ['--engines', 'abacus'],
    ['--view', 'segment'],
    ['--precision', 'int4'],
    ['--sizes', '640'],
    ['--concurrency', '0'],
    ['--concurrency', '1.5'],
    ['--duration', 'long'],
    ['--rounds', '0'],
  ])('refuses %s %s and names it', (option, value) => {
    expect(() => scenario(option, value)).toThrow(OperatorError);
    expect(() => scenario(option, value)).toThrow(option);
  });
});

describe('groups', () => {
  it('are of a few models, those with generated weights apart', () => {
    const groups = groupsOf(scenario('--models', 'mine,resnet18,yours,resnet34,vgg11', '--together', '2'));
    expect(groups.map(({ models, architectures }) => [models, architectures])).toEqual([
      [['mine', 'yours'], []],
      [[], ['resnet18', 'resnet34']],
      [[], ['vgg11']],
    ]);
  });

  it('serve a precision under a name of its own', () => {
    const [mine, resnet] = groupsOf(scenario('--models', 'mine,resnet18', '--precision', 'fp32,int8'));
    expect(mine!.models).toEqual(['mine', 'mine-int8']);
    expect(resnet!.models).toEqual(['resnet18-untrained-int8']);
    expect(mine!.subjects.map(({ models, precision }) => [...models, precision])).toEqual([
      ['mine', 'fp32'],
      ['mine-int8', 'int8'],
    ]);
  });

  it('ask all models in all sizes at once when told to', () => {
    const [group, ...others] = groupsOf(scenario('--models', 'mine,resnet18', '--mixed-models', '--sizes', 'mixed'));
    expect(others).toEqual([]);
    const [subject, ...more] = group!.subjects;
    expect(more).toEqual([]);
    expect(subject!.parts).toHaveLength(2 * MIXED_SIZES.length);
    expect(subject!.models).toEqual(['mine', 'resnet18-untrained']);
  });
});
