import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { countSame, parseAnswer, type Answer } from '../../../load/peers/answers.js';
import { chooseServers, findPython, interpreters, requestOf, serversFor } from '../../../load/peers/servers.js';
import { peersTable, type Compared, type Measurement } from '../../../load/peers/table.js';

const SERVERS = serversFor({
  model: 'resnet50',
  input: {
    ...{ size: 224, resize: 256, interpolation: 'bilinear', channels: 'RGB', range: 255 },
    ...{ mean: [0, 0, 0], std: [1, 1, 1] },
  },
  settings: {},
  onnx: 'model.onnx',
  weights: 'model.safetensors',
});
const [OURS, ON_OPENVINO] = SERVERS;
const server = (name: string) => chooseServers(SERVERS, name)[0]!;

describe('the servers', () => {
  it('are chosen by name, and an unknown name is refused with those that there are', () => {
    expect(chooseServers(SERVERS, undefined)).toBe(SERVERS);
    expect(chooseServers(SERVERS, 'litserve-openvino,fullconv').map(({ name }) => name)).toEqual([
      'litserve-openvino',
      'fullconv',
    ]);
    expect(() => chooseServers(SERVERS, 'triton')).toThrow(/no such server; there are: fullconv, fullconv-openvino,/);
  });

  it('are each compared with ours on the same engine, which is told its engine', () => {
    expect(server('litserve-openvino').ours).toBe(ON_OPENVINO!.name);
    expect(server('bentoml-onnxruntime').ours).toBe(OURS!.name);
    expect([OURS, ON_OPENVINO].map((each) => each!.environment['FULLCONV_ENGINE'])).toEqual([
      'onnxruntime',
      'openvino',
    ]);
  });

  it('of Python get a photograph as each takes it', () => {
    const photo = { name: 'folder/photo.jpg', bytes: Buffer.from('bytes') };
    const { body } = requestOf(server('litserve-openvino'), photo);
    expect(JSON.parse(String(body))).toEqual({ image: Buffer.from('bytes').toString('base64') });
    expect(String(requestOf(server('bentoml-onnxruntime'), photo).body)).toMatch(/filename="photo.jpg"[^]*\nbytes\r\n/);
  });
});

describe('Python', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'fullconv-python-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  /** A program that answers as Python does when it is asked for versions. */
  async function interpreter(name: string, ...lines: string[]): Promise<string> {
    const file = join(folder, name);
    await writeFile(file, ['#!/bin/sh', ...lines].join('\n'));
    await chmod(file, 0o755);
    return file;
  }

  it('is that of the option, of the folder here, or that which has OpenVINO', () => {
    const here = resolve('load/peers/venv/bin/python');
    expect(interpreters(undefined, {})).toEqual([here]);
    expect(interpreters('mine', { FULLCONV_OPENVINO: '/venv' })).toEqual([resolve('mine'), here, '/venv/bin/python']);
  });

  it('is the first that has all packages', async () => {
    const without = await interpreter('without', 'exit 1');
    const complete = await interpreter('complete', `echo '{"litserve": "1", "openvino": "2"}'`);
    const found = await findPython(['litserve', 'openvino'], [join(folder, 'nowhere'), without, complete]);
    expect(found).toEqual({ interpreter: complete, versions: { litserve: '1', openvino: '2' } });
    await expect(findPython(['litserve', 'openvino'], [without])).rejects.toThrow('no Python has litserve, openvino');
  });
});

describe('answers', () => {
  const answer = (...top: [index: number, logit: number][]): Answer => ({
    top: top.map(([index, logit]) => ({ index, logit })),
  });

  it('are read in the form of each server', () => {
    const top = [{ index: 3, logit: 9 }];
    expect(parseAnswer(JSON.stringify({ top }))).toEqual({ top });
    expect(parseAnswer(JSON.stringify([{ top }]))).toEqual({ top });
    expect(parseAnswer(JSON.stringify({ results: [{ predictions: top }], model: { precision: 'bf16' } }))).toEqual({
      top,
      precision: 'bf16',
    });
  });

  it('are the same where the best class is, and a class whose logit is as good is no other net', () => {
    const expected = [answer([1, 10], [2, 9]), answer([1, 10], [2, 9.9])];
    expect(countSame(expected, [answer([1, 8], [2, 7]), answer([2, 9.9], [1, 9.8])])).toBe(1);
  });

  it('of another net are refused', () => {
    const expected = [answer([1, 10], [2, 9])];
    expect(() => countSame(expected, [answer([2, 10], [1, 9])])).toThrow('another best class for 1 of 1 photographs');
    expect(() => countSame(expected, [answer([2, 10], [3, 9.9])])).toThrow('another best class');
    expect(() => countSame(expected, [answer()])).toThrow('another best class');
  });
});

describe('the table', () => {
  const turn = (imagesPerSecond: number, more: Partial<Measurement> = {}): Measurement => ({
    ...{ imagesPerSecond, p50Ms: 10, p99Ms: 20, memoryMiB: 500, processorMs: 40, failures: 0 },
    ...{ precision: 'fp32', same: 3 },
    ...more,
  });
  const rows = (...compared: Compared[]): string[][] =>
    peersTable(compared, 3)
      .split('\n')
      .slice(2)
      .map((line) => line.split('|').map((cell) => cell.trim()));

  it('compares means over the turns with ours on the same engine', () => {
    const table = rows(
      { server: OURS!, turns: [turn(10), turn(10)] },
      { server: ON_OPENVINO!, turns: [turn(50), turn(30)] },
      { server: server('litserve-openvino'), turns: [turn(25), turn(15, { same: 2, failures: 1 })] },
    );
    expect(table[2]!.slice(1, -1)).toEqual([
      'litserve-openvino',
      'fp32',
      '25.0, 15.0',
      '2.00',
      '10',
      '20',
      '40.0',
      '500',
      '2 of 3',
      '1',
    ]);
  });

  it('has no ratio where ours was not measured, and says why a server was not', () => {
    const table = rows(
      { server: server('litserve-openvino'), turns: [turn(25)] },
      { server: server('express'), turns: [], failure: 'it ended with 1' },
    );
    expect(table[0]![4]).toBe('–');
    expect(table.slice(1).flat()).toContain('- express was not measured: it ended with 1');
  });
});
