/** Which engine a server takes, and why: machines that answer as they are told. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { deviceNames } from '../../../src/device.js';
import { OperatorError } from '../../../src/errors.js';
import { chooseEngine, keptProbe, type MachineOf } from '../../../src/runtime/choose-engine.js';
import type { Machine } from '../../../src/runtime/choose-devices.js';
import type { Probed } from '../../../src/runtime/probe-device.js';

interface Facts {
  readonly files?: readonly string[];
  readonly openvino?: Probed | 'not installed';
  readonly cuda?: Probed;
}

/** A machine of two cores, and the engines that were tried on it. */
function machines({ files = [], openvino = 'not installed', cuda }: Facts): { of: MachineOf; tried: string[] } {
  const tried: string[] = [];
  const of: MachineOf = ({ name }): Machine => ({
    cores: 2,
    listGpuFiles: () => Promise.resolve(files),
    listProviders: () =>
      Promise.resolve(name === 'openvino' ? (openvino === 'not installed' ? [] : ['cpu']) : ['cpu', 'cuda']),
    probe({ kind }) {
      tried.push(`${name} ${kind}`);
      if (kind === 'cuda' && cuda !== undefined) return Promise.resolve(cuda);
      if (name === 'openvino' && openvino !== 'not installed') return Promise.resolve(openvino);
      return Promise.resolve({ failure: 'it is not installed' });
    },
  });
  return { of, tried };
}

const FAST: Probed = { runMs: 12.3, coreMs: 55, autocast: 'bf16' };
const AUTO = { engine: 'auto', device: 'auto' } as const;

describe('the engine auto', () => {
  it('is onnxruntime where nothing else is installed, without a try', async () => {
    const { of, tried } = machines({});
    const { engine, device, autocast } = await chooseEngine(AUTO, of);
    expect({ engine, autocast, tried }).toEqual({ engine: 'onnxruntime', autocast: undefined, tried: [] });
    expect(device.why).toBe('auto: the machine shows no GPU; openvino is not installed');
  });

  it('is another that runs the probe net faster, in its half precision', async () => {
    const { engine, device, autocast } = await chooseEngine(AUTO, machines({ openvino: FAST }).of);
    expect({ engine, devices: deviceNames(device.devices), autocast }).toEqual({
      engine: 'openvino',
      devices: 'cpu',
      autocast: 'bf16',
    });
    expect(device.why).toBe(
      'auto: the machine shows no GPU; a core runs the probe net in 12 ms with openvino in bf16, in 55 with onnxruntime',
    );
  });

  it.each([
    ['does not work', { failure: 'libtbb.so.12 is missing' }, 'openvino does not work: libtbb.so.12 is missing'],
    ['is no faster by more than chance', { runMs: 51, coreMs: 55 }, 'in 51 ms with openvino, in 55 with onnxruntime'],
  ] as const)('is onnxruntime where the other %s', async (_, openvino, why) => {
    const { engine, device } = await chooseEngine(AUTO, machines({ openvino }).of);
    expect(engine).toBe('onnxruntime');
    expect(device.why).toContain(why);
  });

  it('leaves a GPU to onnxruntime', async () => {
    const { of, tried } = machines({ files: ['nvidia0'], cuda: { runMs: 2, coreMs: 55 }, openvino: FAST });
    const { engine, device } = await chooseEngine(AUTO, of);
    expect({ engine, devices: deviceNames(device.devices), tried }).toEqual({
      engine: 'onnxruntime',
      devices: 'cuda',
      tried: ['onnxruntime cuda'],
    });
  });

  it('is chosen among those for the CPU that was asked for', async () => {
    const cpu = [{ kind: 'cpu', index: 0 }];
    const { engine, device } = await chooseEngine({ ...AUTO, device: cpu }, machines({ openvino: FAST }).of);
    expect({ engine, why: device.why.split(';')[0] }).toEqual({ engine: 'openvino', why: 'asked for' });
  });
});

describe('an engine that is asked for', () => {
  it('must work', async () => {
    const openvino = { failure: 'OpenVINO is not installed: python3 -m pip install openvino' };
    const choosing = chooseEngine({ ...AUTO, engine: 'openvino' }, machines({ openvino }).of);
    await expect(choosing).rejects.toThrow(OperatorError);
    await expect(choosing).rejects.toThrow(`FULLCONV_ENGINE=openvino: ${openvino.failure}`);
  });

  it('is taken though another is faster', async () => {
    const openvino: Probed = { runMs: 60, coreMs: 55 };
    expect(await chooseEngine({ ...AUTO, engine: 'openvino' }, machines({ openvino }).of)).toMatchObject({
      engine: 'openvino',
    });
    const { of, tried } = machines({ openvino: FAST });
    expect(await chooseEngine({ ...AUTO, engine: 'onnxruntime' }, of)).toMatchObject({ engine: 'onnxruntime' });
    expect(tried).toEqual([]);
  });
});

describe('what an engine showed', () => {
  it('is kept for the same processor and build, and a failure is not', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'fullconv-probes-'));
    try {
      let asked = 0;
      const probe = (answer: Probed) => (): Promise<Probed> => {
        asked += 1;
        return Promise.resolve(answer);
      };
      expect(await keptProbe(cache, ['one build'], probe({ failure: 'busy' }))).toEqual({ failure: 'busy' });
      expect(await keptProbe(cache, ['one build'], probe(FAST))).toEqual(FAST);
      expect(await keptProbe(cache, ['one build'], probe({ failure: 'busy' }))).toEqual(FAST);
      expect(asked).toBe(2);
      expect(await keptProbe(cache, ['another build'], probe({ runMs: 1, coreMs: 2 }))).toEqual({
        runMs: 1,
        coreMs: 2,
      });
      expect(await readdir(join(cache, 'probes'))).toHaveLength(2);
    } finally {
      await rm(cache, { recursive: true });
    }
  });
});
