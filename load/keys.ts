/**
 * `npm run load:keys`: what the check of a request's key costs the server, with quotas and their headers: processor time of the
 * hook that every route has (http/access.ts), without HTTP around it. Each key is verified with scrypt before; a hook that
 * then needs a promise, which would be another scrypt, ends the measurement.
 */
import type { IncomingMessage } from 'node:http';
import { BlockList } from 'node:net';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { OperatorError, ServiceError } from '../src/errors.js';
import { createAccess, type Access } from '../src/http/access.js';
import { formatKey, makeKey, type KeyText } from '../src/keys/key-text.js';
import { Keyring } from '../src/keys/keyring.js';
import type { QuotaSettings } from '../src/keys/keys-file.js';
import { hashSecret } from '../src/keys/secret-hash.js';
import { runCommand } from './command.js';
import { whole } from './options.js';
import { describeMachine, machineLine } from './report.js';
import { median } from './statistics.js';
import { figure, markdownTable, type Column } from './tables.js';
import { RESULTS } from './write-report.js';

const HELP = `npm run load:keys -- [options]
  --requests N   of a round (20000)
  --rounds N     (9)
  --output NAME  also write load/results/NAME.md
`;

/** More than are sent: nothing is refused for them. */
const QUOTAS: QuotaSettings = { requestsPerSecond: 1e9, burst: 1e6, imagesAtOnce: 1e6, costPerMinute: 1e9 };

interface Case {
  readonly what: string;
  readonly access: Access;
  readonly key: string | undefined;
  /** Status of the refusal; undefined if it is let in. */
  readonly refused?: number;
}

interface Row {
  readonly what: string;
  /** Processor time of a check, one a round. */
  readonly microseconds: readonly number[];
}

const COLUMNS: readonly Column<Row>[] = [
  ['what', ({ what }) => what],
  ['CPU µs', ({ microseconds }) => figure(median(microseconds))],
  ['at least', ({ microseconds }) => figure(Math.min(...microseconds))],
];

await runCommand(main);

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      help: { type: 'boolean', default: false },
      requests: { type: 'string', default: '20000' },
      rounds: { type: 'string', default: '9' },
      output: { type: 'string' },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const [requests, rounds] = [whole('--requests', values.requests), whole('--rounds', values.rounds)];
  const measured = (await cases()).map((each) => ({ each, microseconds: [] as number[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { each, microseconds } of measured) microseconds.push(measure(each, requests));
  }
  const rows = measured.map(({ each: { what }, microseconds }) => ({ what, microseconds }));
  const text = `${machineLine(await describeMachine())}; ${rounds} rounds of ${requests}.\n\n${markdownTable(COLUMNS, rows)}`;
  process.stdout.write(text);
  if (values.output !== undefined) await writeFile(join(RESULTS, `${values.output}.md`), `# Keys\n\n${text}`);
}

async function cases(): Promise<Case[]> {
  const key = makeKey();
  const text = formatKey(key);
  const hash = await hashSecret(key.secret);
  const ring = async (quotas: QuotaSettings, others = 0): Promise<Access> => {
    const entry = ({ id }: Pick<KeyText, 'id'>, name: string) => ({
      id,
      name,
      scopes: ['infer' as const],
      quotas,
      hash,
    });
    const keys = [entry(key, 'measured'), ...Array.from({ length: others }, (_, i) => entry(makeKey(), `other ${i}`))];
    const keyring = new Keyring({ keys });
    await keyring.find(text, 'here');
    return accessOf(keyring);
  };
  return [
    { what: 'no keys are asked for', access: accessOf(undefined), key: undefined },
    { what: 'a key', access: await ring({}), key: text },
    { what: 'a key of 1,000', access: await ring({}, 999), key: text },
    { what: 'a key with three quotas, and their headers', access: await ring(QUOTAS), key: text },
    { what: 'no key: refused', access: await ring({}), key: undefined, refused: 401 },
    { what: 'an id that is none: refused', access: await ring({}), key: formatKey(makeKey()), refused: 401 },
    {
      what: 'another secret: refused',
      access: await ring({}),
      key: formatKey({ id: key.id, secret: makeKey().secret }),
      refused: 401,
    },
  ];
}

function accessOf(keyring: Keyring | undefined): Access {
  const metrics = { observeKeyCost: () => undefined, observeKeyless: () => undefined };
  return createAccess({ config: { adminToken: '', trustedProxies: new BlockList() }, keyring, metrics });
}

/** Microseconds of the processor for one check. */
function measure({ access, key, refused }: Case, requests: number): number {
  const enter = access.enter('infer') as (
    request: FastifyRequest,
    reply: FastifyReply,
    done: (error?: Error) => void,
  ) => void;
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const socket = { remoteAddress: '192.0.2.1' };
  const reply = { header: () => undefined } as unknown as FastifyReply;
  let answered = 0;
  const done = (error?: Error): void => {
    const status = error instanceof ServiceError ? error.status : undefined;
    if (status === refused) answered += 1;
  };
  const before = process.cpuUsage();
  for (let i = 0; i < requests; i++) {
    const raw = { headers, socket } as unknown as IncomingMessage;
    enter({ raw } as FastifyRequest, reply, done);
    access.headersFor(raw);
  }
  const { user, system } = process.cpuUsage(before);
  if (answered !== requests)
    throw new OperatorError(`${requests - answered} checks did not end at once as they should`);
  return (user + system) / requests;
}
