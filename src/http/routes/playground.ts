/**
 * GET /: the playground, a page that asks this API; GET /docs: the API's description for people. Their files were built
 * from src/playground and are held in memory. Files with a digest in their name never change. Browsers ask again for a
 * page itself, and get a 304 while it is the same (revalidation.ts). The pages load nothing from other origins and have
 * no inline scripts or styles; the content security policy enforces that.
 */
import { readFile, readdir } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { ServiceError } from '../../errors.js';
import { apiReference } from '../api-reference.js';
import type { RouteParts } from '../parts.js';
import type { Route } from '../route.js';

const MEDIA_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.jpg': 'image/jpeg',
};

const PROTECTION = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

/** The routes of the files of `playgroundFolder`. Rejects if they were not built. */
export async function playgroundRoutes({ playgroundFolder: folder, document }: RouteParts): Promise<readonly Route[]> {
  const names = (await readdir(folder)).filter((name) => extname(name) in MEDIA_TYPES);
  const files = new Map(
    await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)),
  );
  const [page, docs] = ['index.html', 'docs.html'].map((name) => {
    const bytes = files.get(name);
    if (bytes === undefined) throw new Error(`${folder} has no ${name}`);
    files.delete(name);
    return bytes;
  }) as [Buffer, Buffer];
  const described = docs.toString().replace('<!-- reference -->', () => apiReference(document));
  return [pageAt('/', page), pageAt('/docs', Buffer.from(described)), filesOf(files)];
}

function pageAt(path: string, page: Buffer): Route {
  return {
    method: 'GET',
    audience: 'everybody',
    path,
    revalidated: true,
    handle: (_parts, _request, reply) => reply.headers(PROTECTION).type(MEDIA_TYPES['.html']!).send(page),
  };
}

function filesOf(files: ReadonlyMap<string, Buffer>): Route {
  return {
    method: 'GET',
    audience: 'everybody',
    path: '/playground/:file',
    revalidated: true,
    handle(_parts, request, reply) {
      const { file } = request.params as { file: string };
      const bytes = files.get(file);
      if (bytes === undefined) throw new ServiceError('NOT_FOUND', `The playground has no file ${file}.`);
      return reply
        .headers(PROTECTION)
        .header('cache-control', 'public, max-age=31536000, immutable')
        .type(MEDIA_TYPES[extname(file)]!)
        .send(bytes);
    },
  };
}
