/**
 * The keys file: who may ask, for what, and how much. JSON, checked as a whole; a message says what is wrong and where, and
 * never holds a hash or a key.
 */
import { z } from 'zod';
import { UsageError } from '../errors.js';
import { FileRefused, readBounded } from '../regular-files.js';
import { wordsOf, type Vocabulary } from '../vocabulary.js';
import { ID_PATTERN } from './key-text.js';
import { DIGEST_BYTES } from './secret-hash.js';

/** What a key may be good for. */
export const SCOPES = {
  infer: 'questions about images',
  models: 'lists and descriptions of models',
  admin: 'loading and unloading of models',
  metrics: 'the metrics',
} as const satisfies Vocabulary;

export type Scope = keyof typeof SCOPES;

export const MAX_KEYS = 1000;
const MAX_FILE_BYTES = 2 ** 20;
/** An scrypt may take 64 MiB. */
const MAX_SCRYPT_BYTES = 2 ** 26;

const base64 = (bytes: { readonly least: number; readonly most: number }) =>
  z
    .string()
    .regex(/^[A-Za-z0-9+/]+={0,2}$/, 'must be base64')
    .refine(
      (text) => {
        const { length } = Buffer.from(text, 'base64');
        return length >= bytes.least && length <= bytes.most;
      },
      `must be ${bytes.least === bytes.most ? '' : `${bytes.least} to `}${bytes.most} bytes in base64`,
    );

const hash = z
  .strictObject({
    algorithm: z.literal('scrypt'),
    N: z
      .number()
      .int()
      .min(2)
      .max(2 ** 20)
      .refine((value) => Number.isInteger(Math.log2(value)), 'must be a power of two'),
    r: z.number().int().min(1).max(64),
    p: z.number().int().min(1).max(16),
    salt: base64({ least: 8, most: 64 }),
    digest: base64({ least: DIGEST_BYTES, most: DIGEST_BYTES }),
    check: z.string().regex(/^[0-9a-f]{4}$/, 'must be four hexadecimal digits'),
  })
  .refine(({ N, r }) => 128 * N * r <= MAX_SCRYPT_BYTES, 'N and r take more than 64 MiB of memory');

/** A number a second or a minute; null: unlimited, whatever the default is. */
const rate = z.number().positive().max(1e9).nullable().optional();
const most = z.number().int().min(1).max(1e6).nullable().optional();

const quotas = z.strictObject({
  requestsPerSecond: rate,
  /** Requests that may come at once after a pause; absent: those of a second. */
  burst: most,
  imagesAtOnce: most,
  /** In GMAC: 10⁹ multiply-adds. */
  costPerMinute: rate,
});

export const keyNameSchema = z
  .string()
  .regex(/^[\w. @-]{1,64}$/, 'must be 1 to 64 letters, digits, spaces and . @ _ -');

const entry = z.strictObject({
  id: z.string().regex(ID_PATTERN, 'must be 4 to 32 letters, digits and -'),
  name: keyNameSchema,
  scopes: z
    .array(z.enum(wordsOf(SCOPES)))
    .min(1)
    .max(4),
  quotas: quotas.optional(),
  created: z.iso.datetime().optional(),
  expires: z.iso.datetime({ offset: true }).optional(),
  hash,
});

const file = z
  .strictObject({
    /** For all keys that do not say otherwise. */
    quotas: quotas.optional(),
    keys: z.array(entry).max(MAX_KEYS),
  })
  .superRefine(({ keys }, context) => {
    for (const property of ['id', 'name'] as const) {
      const seen = new Set<string>();
      keys.forEach((key, position) => {
        if (seen.has(key[property])) {
          context.addIssue({ code: 'custom', path: ['keys', position, property], message: 'is that of another key' });
        }
        seen.add(key[property]);
      });
    }
  });

export type KeysFile = z.output<typeof file>;
export type KeyEntry = KeysFile['keys'][number];
export type QuotaSettings = z.output<typeof quotas>;

/** A keys file that is not taken. The message names the setting and the file. */
export class KeysFileError extends UsageError {
  override name = 'KeysFileError';

  /** `reason`: a predicate of the file. */
  constructor(path: string, reason: string) {
    super(`FULLCONV_KEYS: ${path} ${reason}`);
  }
}

/** Read and check a keys file. Throws KeysFileError. */
export async function readKeysFile(path: string): Promise<KeysFile> {
  const bytes = await readBounded(path, MAX_FILE_BYTES).catch((error: unknown) => {
    const reason = error instanceof FileRefused ? error.message : reasonOf(error as NodeJS.ErrnoException);
    throw new KeysFileError(path, reason);
  });
  return checkKeysFile(parseJson(bytes.toString(), path), path);
}

/** Check what a keys file holds, or is to hold. Throws KeysFileError. */
export function checkKeysFile(content: unknown, path: string): KeysFile {
  const parsed = file.safeParse(content);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new KeysFileError(path, `has a fault at ${placeOf(issue!.path)}: ${issue!.message}`);
}

function reasonOf({ code = 'unknown error' }: NodeJS.ErrnoException): string {
  return code === 'ENOENT' ? 'does not exist' : `cannot be read (${code})`;
}

/** The error of JSON.parse quotes the text around it, which may be a hash: only its position is told. */
function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const [, position] = /position (\d+)/.exec((error as Error).message) ?? [];
    const where = position === undefined ? '' : `, line ${text.slice(0, Number(position)).split('\n').length}`;
    throw new KeysFileError(path, `is not JSON${where}`);
  }
}

/** `keys[2].scopes[0]` */
function placeOf(path: readonly PropertyKey[]): string {
  const place = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return place === '' ? 'the file' : place.replace(/^\./, '');
}
