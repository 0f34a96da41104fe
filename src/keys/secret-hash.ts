/**
 * What the keys file keeps of a secret: its scrypt digest with salt and parameters, and a check of 16 bits.
 *
 * The check is the beginning of sha256(salt ‖ secret). It is compared first and costs microseconds, so that of 65,536 guesses
 * one costs an scrypt, which takes tens of milliseconds. It tells whoever has the file 16 of the 256 bits of a secret.
 *
 * Source: RFC 7914 (scrypt).
 */
import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

export interface SecretHash {
  readonly algorithm: 'scrypt';
  /** Cost: a power of two. An scrypt takes 128 · N · r bytes. */
  readonly N: number;
  readonly r: number;
  readonly p: number;
  /** In base64. */
  readonly salt: string;
  /** 32 bytes in base64. */
  readonly digest: string;
  /** Four hexadecimal digits. */
  readonly check: string;
}

/** 16 MiB, some 30 ms. */
const PARAMETERS = { N: 2 ** 14, r: 8, p: 1 };
const SALT_BYTES = 16;
export const DIGEST_BYTES = 32;

export async function hashSecret(secret: string): Promise<SecretHash> {
  const salt = randomBytes(SALT_BYTES);
  const digest = await derive(secret, salt, PARAMETERS);
  return {
    algorithm: 'scrypt',
    ...PARAMETERS,
    salt: salt.toString('base64'),
    digest: digest.toString('base64'),
    check: checkOf(secret, salt),
  };
}

/** Whether a secret can be the one: quick, and wrong for one guess of 65,536. */
export function mayMatch(secret: string, { salt, check }: SecretHash): boolean {
  return timingSafeEqual(Buffer.from(checkOf(secret, Buffer.from(salt, 'base64'))), Buffer.from(check));
}

/** Whether a secret is the one. Takes a thread of libuv's pool, not the event loop. */
export async function matches(secret: string, hash: SecretHash): Promise<boolean> {
  const digest = await derive(secret, Buffer.from(hash.salt, 'base64'), hash);
  return timingSafeEqual(digest, Buffer.from(hash.digest, 'base64'));
}

function checkOf(secret: string, salt: Buffer): string {
  return createHash('sha256').update(salt).update(secret).digest('hex').slice(0, 4);
}

function derive(secret: string, salt: Buffer, { N, r, p }: Pick<SecretHash, 'N' | 'r' | 'p'>): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, DIGEST_BYTES, { N, r, p, maxmem: 256 * N * r }, (error, digest) =>
      error === null ? resolve(digest) : reject(error),
    );
  });
}
