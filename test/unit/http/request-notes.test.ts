/** What the log and the traces have of a query. */
import { expect, it } from 'vitest';
import { withoutSecrets } from '../../../src/http/request-notes.js';

it.each([
  ['', ''],
  ['&', '&'],
  ['a', 'a'],
  ['=', '='],
  ['=key', '=key'],
  ['key', 'key'],
  ['key=', 'key=REDACTED'],
  ['a=1&&signature=abc&b', 'a=1&&signature=REDACTED&b'],
  ['api_key=a=b&c=d', 'api_key=REDACTED&c=d'],
  ['%73ig=1&%=2&%FF=3', '%73ig=REDACTED&%=2&%FF=3'],
  ['url=a&URL=b&topK=3', 'url=REDACTED&URL=REDACTED&topK=3'],
  ['a=key&b=url=1', 'a=key&b=url=1'],
  [`${'a'.repeat(20_000)}&token=1`, `${'a'.repeat(20_000)}&token=REDACTED`],
])('of %s', (query, shown) => {
  expect(withoutSecrets(query)).toBe(shown);
});
