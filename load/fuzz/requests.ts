/** Requests as a server must be able to take them from anybody, each as the bytes that are sent. Each kind has its own generator. */
import type { Random } from '../chaos/random.js';
import type { Kind } from './case-file.js';
import type { SampleImage } from './images.js';
import { changeJson, mutateBytes } from './mutate.js';
import type { ApiDocument, Schema } from './verdict.js';

export type OutsideKind = Exclude<Kind, 'models' | 'parsers'>;

export interface Samples {
  readonly images: readonly SampleImage[];
  readonly document: ApiDocument;
}

export type Generator = (random: Random, samples: Samples) => Buffer;

interface Head {
  readonly path: string;
  readonly type?: string;
  readonly accept?: string;
  /** Further lines of the head. */
  readonly headers?: readonly string[];
}

/** A request with a body, framed as it should be. */
function post({ path, type, accept, headers = [] }: Head, body: Buffer): Buffer {
  const lines = [
    `POST ${path} HTTP/1.1`,
    'Host: localhost',
    ...(type === undefined ? [] : [`Content-Type: ${type}`]),
    ...(accept === undefined ? [] : [`Accept: ${accept}`]),
    ...headers,
    `Content-Length: ${body.length}`,
  ];
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), body]);
}

/** Questions that cost little. */
const QUESTIONS: readonly Head[] = [
  { path: '/v1/classify?topK=1' },
  { path: '/v1/classify?fit=whole&size=64' },
  { path: '/v1/classify?scale=0.5,1&flip=true' },
  { path: '/v1/heatmap?top=1&size=64', accept: 'application/json' },
  { path: '/v1/heatmap?size=64&width=64', accept: 'image/png' },
  { path: '/v1/heatmap?fit=native&render=heat', accept: 'application/x-npy' },
  { path: '/v1/segment?size=64&width=64', accept: 'image/webp' },
  { path: '/v1/segment?size=64&shapes=polygons', accept: 'application/json' },
];

/** Every question about every image, unchanged. */
export function rightRequests({ images }: Samples): Buffer[] {
  return QUESTIONS.flatMap((question) => images.map(({ bytes }) => post(question, bytes)));
}

const IMAGE_TYPES = ['image/jpeg', 'image/png', 'application/octet-stream', 'text/plain', 'x', 'image/svg+xml'];

function changedImage(random: Random, { images }: Samples): Buffer {
  const sample = random.pick(images);
  // Pieces of the same format more often than others.
  const alike = images.filter(({ format }) => format === sample.format);
  const others = (random.next() < 0.7 ? alike : images).map(({ bytes }) => bytes);
  return mutateBytes(random, sample.bytes, { others });
}

const images: Generator = (random, samples) =>
  post({ ...random.pick(QUESTIONS), type: random.pick(IMAGE_TYPES) }, changedImage(random, samples));

// ---- multipart ----------------------------------------------------------------------------------------------------

const LONG_BOUNDARY = 'b'.repeat(70);
const BOUNDARIES = ['xyz', '--', 'a', LONG_BOUNDARY, "'()+_,-./:=?", '0', 'x y'];
const DISPOSITIONS = [
  'form-data; name="image"; filename="a.png"',
  'form-data; name="image"; filename=a.png',
  'form-data; name="image"',
  'form-data; name="image"; filename*=UTF-8\'\'%e2%82%ac%zz',
  'form-data; name="image"; filename="../../etc/passwd"',
  `form-data; name="image"; filename="${'n'.repeat(3000)}"`,
  'form-data; name="image"; filename="a\\"b"',
  'form-data',
  'attachment; filename="a"',
  'form-data; name="image"; filename="',
  '',
];

function multipartBody(random: Random, samples: Samples, boundary: string, depth = 0): Buffer {
  const line = random.next() < 0.9 ? '\r\n' : random.pick(['\n', '\r', '\r\n\r\n', '']);
  const count = random.next() < 0.05 ? 30 + random.below(170) : random.below(5);
  const parts = Array.from({ length: count }, (): Buffer => {
    const headers = [
      ...(random.next() < 0.95 ? [`Content-Disposition: ${random.pick(DISPOSITIONS)}`] : []),
      ...(random.next() < 0.5 ? ['Content-Type: image/png'] : []),
      ...(random.next() < 0.1 ? [`Content-Transfer-Encoding: ${random.pick(['base64', 'binary', '8bit', 'x'])}`] : []),
      ...(random.next() < 0.05 ? [`X-Long: ${'h'.repeat(random.below(20_000))}`] : []),
      ...(random.next() < 0.05 ? Array.from({ length: random.below(100) }, (_, index) => `X-${index}: y`) : []),
      ...(random.next() < 0.05 ? ['no colon', ': no name', 'Nul: a\0b'] : []),
    ];
    const body: Buffer =
      random.next() < 0.1 && depth < 2
        ? multipartBody(random, samples, boundary, depth + 1)
        : random.next() < 0.3
          ? changedImage(random, samples).subarray(0, 5000)
          : random.bytes(random.below(50));
    return Buffer.concat([
      Buffer.from(`--${boundary}${line}${headers.join(line)}${line}${line}`, 'latin1'),
      body,
      Buffer.from(line),
    ]);
  });
  const end = random.next() < 0.85 ? `--${boundary}--` : random.pick(['', `--${boundary}`, `--${boundary}-`, '--']);
  const whole = Buffer.concat([
    Buffer.from(random.next() < 0.1 ? `before${line}` : ''),
    ...parts,
    Buffer.from(`${end}${random.next() < 0.5 ? line : ''}`, 'latin1'),
  ]);
  return random.next() < 0.6 || whole.length === 0
    ? whole
    : mutateBytes(random, whole, { others: [whole], words: [`--${boundary}`, line] });
}

const multipart: Generator = (random, samples) => {
  const boundary = random.pick(BOUNDARIES);
  const named = random.next() < 0.95 ? boundary : random.pick(['', '"', 'other', '"xyz', 'a'.repeat(300)]);
  const quoted = random.next() < 0.3 ? `"${named}"` : named;
  const type =
    random.next() < 0.97
      ? `multipart/form-data; boundary=${quoted}`
      : random.pick(['multipart/form-data', 'multipart/form-data;boundary']);
  const path = random.next() < 0.9 ? '/v1/classify?topK=1' : '/v1/heatmap?size=64';
  const body = multipartBody(random, samples, boundary);
  const head = { path, type };
  const framing = random.next();
  if (framing < 0.75) return post(head, body);
  if (framing < 0.88) return chunked(random, head, body);
  return misframed(random, post(head, body));
};

/** In chunks that are framed as they should be. */
function chunked(random: Random, { path, type }: Head, body: Buffer): Buffer {
  const pieces: Buffer[] = [
    Buffer.from(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${type ?? ''}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      'latin1',
    ),
  ];
  for (let at = 0; at < body.length;) {
    const piece = body.subarray(at, at + 1 + random.below(random.next() < 0.5 ? 20 : 4000));
    at += piece.length;
    pieces.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  return Buffer.concat([...pieces, Buffer.from('0\r\n\r\n')]);
}

/** With another length than the body has, or with bytes of the head changed. */
function misframed(random: Random, request: Buffer): Buffer {
  const text = request.toString('latin1');
  const length = (value: string): Buffer =>
    Buffer.from(text.replace(/Content-Length: \d+/, `Content-Length: ${value}`), 'latin1');
  switch (random.below(5)) {
    case 0:
      return length(random.pick(['0', '1', '-1', '99999999999', '1e3', '0x10', ' 5', '5, 5', '999999999999999999999']));
    case 1:
      return Buffer.from(
        text.replace(/Content-Length: (\d+)/, 'Content-Length: $1\r\nTransfer-Encoding: chunked'),
        'latin1',
      );
    case 2:
      return request.subarray(0, 1 + random.below(request.length));
    case 3:
      return Buffer.from(text.replace(/Content-Length: \d+/, 'Transfer-Encoding: chunked'), 'latin1');
    default: {
      const head = request.subarray(0, text.indexOf('\r\n\r\n') + 4);
      return Buffer.concat([mutateBytes(random, head, { others: [head] }), request.subarray(head.length)]);
    }
  }
}

// ---- query strings ------------------------------------------------------------------------------------------------

const ODD_VALUES = [
  ...['', ' ', '0', '-1', '1', '00', '1e3', '0x10', '1.5', '-0', '+1', 'NaN', 'Infinity', '9007199254740993', '1e999'],
  ...['true', 'false', 'null', 'undefined', '[]', '{}', 'a,b,,c', ',', ','.repeat(200), '__proto__', 'constructor'],
  ...[
    '%00',
    '%',
    '%zz',
    '%c3%28',
    '%ed%a0%80',
    '%f0%9f%98%80',
    '%2e%2e%2f',
    "'",
    '"',
    '<script>',
    '%0d%0aX:%20y',
    '\\',
  ],
  ...['espresso', 'n02123045', 'tiger%20cat', '281', '%C4%B0', 'a%CC%81', 'x'.repeat(3000)],
];

function valueOf(random: Random, schema: Schema): string {
  if (random.next() < 0.35) return random.pick(ODD_VALUES);
  if (schema.enum !== undefined) return random.pick(schema.enum);
  switch (schema.type) {
    case 'boolean':
      return random.pick(['true', 'false', '1', '0', '']);
    case 'array':
      return Array.from({ length: 1 + random.below(4) }, () => valueOf(random, schema.items ?? {})).join(',');
    case 'integer':
    case 'number': {
      const { minimum = 0, maximum = 2 ** 31 } = schema;
      const number = random.pick([
        minimum,
        minimum - 1,
        maximum,
        maximum + 1,
        minimum + 1,
        random.between(minimum, Math.min(maximum, 100)),
      ]);
      return String(schema.type === 'integer' || random.next() < 0.5 ? Math.round(number) : number);
    }
    default:
      return random.pick(ODD_VALUES);
  }
}

const ACCEPTS = [
  '*/*',
  'image/png',
  'application/json',
  'application/x-npy',
  'image/avif;q=0.1, image/webp;q=0.9',
  'text/html',
  '',
  'a/b;q=2',
  '*/*;q=0',
  ',',
];

const query: Generator = (random, samples) => {
  const paths = Object.entries(samples.document.paths);
  const [template, operations] =
    random.next() < 0.8
      ? random.pick(paths.filter(([path]) => /classify|heatmap|segment/.test(path)))
      : random.pick(paths);
  const [method, { parameters = [] }] = random.pick(Object.entries(operations));
  const path = template.replace(/\{\w+\}/, () => random.pick(ODD_VALUES));
  const inQuery = parameters.filter(({ in: where }) => where === 'query');
  const asked = Array.from({ length: random.below(5) }, () => {
    if (inQuery.length === 0 || random.next() < 0.1) return `${random.pick(ODD_VALUES)}=${random.pick(ODD_VALUES)}`;
    const { name, schema } = random.pick(inQuery);
    const value = valueOf(random, schema);
    const written = random.next() < 0.05 ? `${name}[]` : name;
    return random.next() < 0.05 ? written : `${written}=${value}`;
  });
  const repeated = random.next() < 0.1 ? asked.flatMap((pair) => [pair, pair]) : asked;
  const text = repeated.join(random.next() < 0.95 ? '&' : random.pick([';', '&&', '?']));
  const target = `${path}${repeated.length > 0 ? '?' : ''}${text}`.replaceAll(' ', '%20');
  const safe = random.next() < 0.9 ? target.replace(/[^\x21-\x7e]/g, encodeURIComponent) : target;
  const accept = random.next() < 0.3 ? { accept: random.pick(ACCEPTS) } : {};
  if (method === 'post') return post({ path: safe, type: 'image/png', ...accept }, random.pick(samples.images).bytes);
  return Buffer.from(`${method.toUpperCase()} ${safe} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 'latin1');
};

// ---- JSON ---------------------------------------------------------------------------------------------------------

function jsonBody(random: Random, samples: Samples): Buffer {
  const one = (): object => ({
    base64: (random.next() < 0.5 ? random.pick(samples.images).bytes : changedImage(random, samples)).toString(
      'base64',
    ),
    ...(random.next() < 0.5 ? { name: 'a.png' } : {}),
  });
  const text = Buffer.from(JSON.stringify({ images: Array.from({ length: 1 + random.below(3) }, one) }));
  switch (random.below(8)) {
    case 0:
      return text;
    case 1:
    case 2:
      return changeJson(random, text);
    case 3:
      return Buffer.from(`{"images":${'['.repeat(1 + random.below(50_000))}`);
    case 4:
      return Buffer.from(`{"images":[${'{"base64":"AAAA"},'.repeat(random.below(5000))}{"base64":"AAAA"}]}`);
    case 5:
      return Buffer.from(`{"images":[{"base64":"AA==","base64":"AA=="}],"images":[]}`);
    default:
      return mutateBytes(random, text, {
        others: [text],
        words: ['"base64":"', '\\u00', '"', ']}', '\xff\xfe', '\xed\xa0\x80'],
      });
  }
}

const json: Generator = (random, samples) => {
  const type =
    random.next() < 0.9
      ? 'application/json'
      : random.pick(['application/json; charset=utf-16', 'Application/JSON', 'application/json;']);
  const path = random.next() < 0.9 ? '/v1/classify?topK=1' : '/v1/segment?size=64&width=64';
  const request = post({ path, type }, jsonBody(random, samples));
  return random.next() < 0.95 ? request : misframed(random, request);
};

// ---- the Open Inference Protocol ------------------------------------------------------------------------------------

const TENSORS = ['UINT8', 'BYTES', 'FP32', 'BF16', 'uint8', ''];
const ODD_SIZES = [0, -1, 1, 4, 2 ** 31, 2 ** 53, 1e300, 0.5, '4', null];
const SHAPES = [[1], [2], [1, 1], [], [1, 8, 8, 3], [2, 8, 8, 3], [2 ** 26, 2 ** 26, 2 ** 26, 3], [-1], [1.5], [0]];
const INFER_PATHS = ['', '.encoded', '.heatmap', '/versions/1', '/versions/2', '.nothing'];

/** An encoded image, or the pixels of one of 8×8. */
function tensorBytes(random: Random, samples: Samples, datatype: string): Buffer {
  if (datatype !== 'BYTES') return random.bytes(8 * 8 * 3);
  const image = random.next() < 0.5 ? random.pick(samples.images).bytes : changedImage(random, samples);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(random.next() < 0.9 ? image.length : random.below(2 ** 31));
  return Buffer.concat([length, image]);
}

const inference: Generator = (random, samples) => {
  const datatype = random.next() < 0.85 ? random.pick(TENSORS.slice(0, 2)) : random.pick(TENSORS);
  const bytes = tensorBytes(random, samples, datatype);
  const isUsual = random.next() < 0.7;
  const request = {
    ...(random.next() < 0.3 && { id: random.pick(ODD_VALUES) }),
    inputs: [
      {
        name: random.next() < 0.95 ? 'image' : random.pick(ODD_VALUES),
        datatype,
        shape: isUsual ? (datatype === 'BYTES' ? [1] : [1, 8, 8, 3]) : random.pick(SHAPES),
        parameters: { binary_data_size: isUsual ? bytes.length : random.pick(ODD_SIZES) },
      },
    ],
    ...(random.next() < 0.4 && {
      outputs: [{ name: 'scores', parameters: { binary_data: random.next() < 0.5, classification: random.below(4) } }],
    }),
    ...(random.next() < 0.3 && {
      parameters: { size: random.pick([64, 8, -1, 1e9]), [random.pick(ODD_VALUES)]: random.pick(ODD_VALUES) },
    }),
  };
  const text = Buffer.from(JSON.stringify(request));
  const json = random.next() < 0.8 ? text : changeJson(random, text);
  const length =
    random.next() < 0.85 ? String(json.length) : random.pick(['0', '1', '-1', '1e1', '99999999999', '', '5, 5']);
  const model = `tinyimagenet-resnet18-w48${random.next() < 0.8 ? '' : random.pick(INFER_PATHS)}`;
  const body = Buffer.concat([json, random.next() < 0.9 ? bytes : bytes.subarray(0, random.below(bytes.length))]);
  const head = { path: `/v2/models/${model}/infer`, headers: [`Inference-Header-Content-Length: ${length}`] };
  const framed = post(head, body);
  return random.next() < 0.95 ? framed : misframed(random, framed);
};

export const GENERATORS: Readonly<Record<OutsideKind, Generator>> = { images, multipart, query, json, inference };
