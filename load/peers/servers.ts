/** Our server and its peers: how each is started and asked. Nothing is started here but Python, to ask what it has. */
import { execFile } from 'node:child_process';
import { basename, dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { coreCount } from '../../src/cores.js';
import { OperatorError } from '../../src/errors.js';
import type { ImageInput } from '../../src/inference/infer.js';
import type { InputPreset } from '../../src/models/manifest.js';
import type { PreparedRequest } from '../traffic.js';

export const PORT = 8790;

const HERE = resolve('load/peers');

/** The job, prepared for all servers. */
export interface Job {
  /** An architecture, or a model of `models`. */
  readonly model: string;
  readonly input: InputPreset;
  /** The settings by which our server serves the model alone. */
  readonly settings: Readonly<Record<string, string>>;
  /** The classifier as an ONNX file, and its weights. */
  readonly onnx: string;
  readonly weights: string;
}

export interface Server {
  readonly name: string;
  /** The server of ours that has the same engine: the row is compared with it. */
  readonly ours: string;
  /** What the engine computes in; undefined: the server says it in its answers. */
  readonly precision?: string;
  /** Packages of Python that it needs. */
  readonly packages?: readonly string[];
  /** `python`: of the environment that has the packages. */
  command(python: string): readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly folder?: string;
  /** Path of the job, and a path that answers when the server is ready. */
  readonly path: string;
  readonly ready: string;
  readonly form: RequestForm;
}

/** How a photograph is sent: the bytes themselves, in a form, or as base64 in JSON. */
type RequestForm = 'raw' | 'multipart' | 'json';

/** Our server on each engine that a peer has. */
const OURS = { onnxruntime: 'fullconv', openvino: 'fullconv-openvino' } as const;
type Engine = keyof typeof OURS;

export function serversFor({ model, input, settings, onnx, weights }: Job): Server[] {
  const environment = {
    MODEL: onnx,
    WEIGHTS: weights,
    INPUT: JSON.stringify(input),
    PORT: String(PORT),
    CORES: String(coreCount()),
    OMP_NUM_THREADS: '1',
  };
  const ours = (engine: Engine): Server => ({
    name: OURS[engine],
    ours: OURS[engine],
    command: () => [process.execPath, resolve('dist/cli/fullconv.cjs'), 'serve'],
    environment: { ...settings, PORT: String(PORT), FULLCONV_ENGINE: engine, FULLCONV_LOG_LEVEL: 'error' },
    path: '/v1/classify?scores=logit',
    ready: '/readyz',
    form: 'raw',
  });
  const python = {
    ours: OURS.onnxruntime,
    precision: 'fp32',
    environment,
    folder: join(HERE, 'python'),
    path: '/classify',
  } as const;
  const litserve = (engine: string, packages: readonly string[]) => ({
    ...python,
    name: `litserve-${engine}`,
    packages: ['litserve', 'pillow', 'numpy', ...packages],
    command: (interpreter: string) => [interpreter, 'litserve_server.py'],
    environment: { ...environment, ENGINE: engine },
    ready: '/health',
    form: 'json' as const,
  });
  return [
    ours('onnxruntime'),
    ours('openvino'),
    {
      name: 'express',
      ours: OURS.onnxruntime,
      precision: 'fp32',
      command: () => [process.execPath, 'server.mjs'],
      folder: join(HERE, 'express'),
      environment: { MODEL: onnx, INPUT: environment.INPUT, PORT: environment.PORT },
      path: '/classify',
      ready: '/ready',
      form: 'raw',
    },
    { ...litserve('openvino', ['openvino']), ours: OURS.openvino, precision: 'its default' },
    litserve('onnxruntime', ['onnxruntime']),
    // It has torchvision's ResNet-50 only.
    ...(model === 'resnet50' ? [litserve('torch', ['torch', 'torchvision', 'safetensors'])] : []),
    {
      ...python,
      name: 'bentoml-onnxruntime',
      packages: ['bentoml', 'onnxruntime', 'pillow', 'numpy'],
      command: (interpreter) => [
        ...[join(dirname(interpreter), 'bentoml'), 'serve', 'bentoml_service:Classifier'],
        ...['--port', String(PORT)],
      ],
      environment: { ...environment, BENTOML_DO_NOT_TRACK: 'true' },
      ready: '/readyz',
      form: 'multipart',
    },
    {
      ...python,
      name: 'torchserve-onnxruntime',
      packages: ['torchserve', 'torch-model-archiver', 'torch', 'onnxruntime', 'pillow', 'numpy'],
      command: (interpreter) => [interpreter, 'torchserve_server.py'],
      path: '/predictions/classifier',
      ready: '/ping',
      form: 'multipart',
    },
  ];
}

/** The servers of that list of names; all of them where it is undefined. Throws OperatorError for a name that none has. */
export function chooseServers(servers: readonly Server[], wanted: string | undefined): readonly Server[] {
  if (wanted === undefined) return servers;
  return wanted.split(',').map((name) => {
    const found = servers.find((server) => server.name === name);
    if (found !== undefined) return found;
    throw new OperatorError(
      `--servers ${name}: there is no such server; there are: ${servers.map((each) => each.name).join(', ')}`,
    );
  });
}

/** The interpreters that may have a server's packages, the best first. */
export function interpreters(
  given: string | undefined,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): string[] {
  const openvino = environment['FULLCONV_OPENVINO'];
  return [
    ...(given === undefined ? [] : [resolve(given)]),
    join(HERE, 'venv/bin/python'),
    ...(openvino === undefined || openvino === '' ? [] : [join(resolve(openvino), 'bin/python')]),
  ];
}

export interface FoundPython {
  readonly interpreter: string;
  /** Versions by package. */
  readonly versions: Readonly<Record<string, string>>;
}

const ASK_VERSIONS =
  'import json, sys; from importlib.metadata import version; print(json.dumps({name: version(name) for name in sys.argv[1:]}))';

/** The first interpreter that has all packages. Throws OperatorError if none has. */
export async function findPython(packages: readonly string[], candidates: readonly string[]): Promise<FoundPython> {
  for (const interpreter of candidates) {
    try {
      const { stdout } = await promisify(execFile)(interpreter, ['-c', ASK_VERSIONS, ...packages]);
      return { interpreter, versions: JSON.parse(stdout) as Record<string, string> };
    } catch {
      // It is not there, or lacks a package.
    }
  }
  throw new OperatorError(`no Python has ${packages.join(', ')} (${candidates.join(', ')})`);
}

export function requestOf({ path, form }: Server, { name, bytes }: ImageInput): PreparedRequest {
  const { type, body } = { raw, multipart, json }[form](name, bytes);
  return { method: 'POST', path, headers: { 'content-type': type, accept: 'application/json' }, body };
}

interface Message {
  readonly type: string;
  readonly body: Buffer;
}

function raw(_name: string, bytes: Uint8Array): Message {
  return { type: 'application/octet-stream', body: Buffer.from(bytes) };
}

function json(_name: string, bytes: Uint8Array): Message {
  return {
    type: 'application/json',
    body: Buffer.from(JSON.stringify({ image: Buffer.from(bytes).toString('base64') })),
  };
}

function multipart(name: string, bytes: Uint8Array): Message {
  const boundary = 'a-boundary-that-no-photograph-has';
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="${basename(name)}"\r\ncontent-type: image/jpeg\r\n\r\n`;
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)]),
  };
}
