/**
 * Whether an answer is right for a request of any bytes: whole, in time, in a form that the API describes, and never an error of
 * the server's own. A refusal is a problem of a known code.
 */
import { ERROR_TABLE, type ErrorCode } from '../../src/errors.js';
import { framing, type Exchange } from './exchange.js';

export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, ApiOperation>>>>;
}

export interface ApiOperation {
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema: Schema }[];
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, unknown>> }>>;
}

export interface Schema {
  readonly type?: string;
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly items?: Schema;
}

/** What is refused before a route is found, or by whoever holds the connection. */
const BEFORE_ROUTES = [400, 403, 404, 405, 408, 413, 414, 429, 431, 503];
/** A busy machine: from the deadline to the last byte of the answer. */
const GRACE_MS = 100;

/** What is wrong with the answer; undefined if nothing is. */
export function faultIn(
  request: Buffer,
  { answer, milliseconds, isRefused, received }: Exchange,
  { document, deadlineMs }: { readonly document: ApiDocument; readonly deadlineMs: number },
): string | undefined {
  if (isRefused) return 'the server is gone';
  if (answer === undefined) {
    if (framing(request) === 'broken' && received.length === 0) return undefined;
    return `no answer: ${JSON.stringify(received.toString('latin1', 0, 200))} after ${Math.round(milliseconds)} ms`;
  }
  const { status, body, isWhole, headers } = answer;
  const said = `${status} ${body.toString('utf8', 0, 500)}`;
  if (!isWhole) return `an answer that is cut off: ${said}`;
  if (milliseconds > deadlineMs + GRACE_MS) return `an answer after ${Math.round(milliseconds)} ms: ${said}`;
  if (/node_modules|\.js:\d+|file:\/\/\//.test(said)) return `an answer that says what is inside: ${said}`;
  const described = responsesOf(request, document);
  if (described !== undefined && !(String(status) in described) && !BEFORE_ROUTES.includes(status)) {
    return `a status that the API does not describe: ${said}`;
  }
  const type = (headers.get('content-type') ?? '').split(';')[0]!;
  if (status >= 400 && isOpenInference(request)) return faultInError(status, type, body);
  if (status >= 400) return faultInProblem(status, type, body);
  if (status === 200 && described !== undefined) {
    const { content = {} } = described['200'] ?? {};
    if (Object.keys(content).length > 0 && !(type in content)) return `a type that the API does not describe: ${type}`;
  }
  return type === 'application/json' && parsed(body) === undefined ? `JSON that is none: ${said}` : undefined;
}

/** The responses of the operation that a request is for. */
function responsesOf(request: Buffer, { paths }: ApiDocument): ApiOperation['responses'] | undefined {
  const [, method, path] = /^([A-Z]+) ([^ ?]*)/.exec(request.toString('latin1', 0, 300)) ?? [];
  return method === undefined || path === undefined ? undefined : paths[path]?.[method.toLowerCase()]?.responses;
}

function faultInProblem(status: number, type: string, body: Buffer): string | undefined {
  const said = `${status} ${type} ${body.toString('utf8', 0, 500)}`;
  const problem = parsed(body) as
    { readonly code?: string; readonly status?: number; readonly detail?: string } | undefined;
  if (type !== 'application/problem+json' || problem === undefined)
    return `an error that is no problem document: ${said}`;
  const { code = '', detail = '' } = problem;
  if (!(code in ERROR_TABLE)) return `an error of no known code: ${said}`;
  if (ERROR_TABLE[code as ErrorCode].status !== status || problem.status !== status) return `a wrong status: ${said}`;
  if (detail === '') return `an error that does not say what is wrong: ${said}`;
  return code === 'INFERENCE_FAILED' || code === 'WORKER_LOST' ? `the server's own failure: ${said}` : undefined;
}

/** Whether a request is for the Open Inference Protocol, and got so far that its own errors answer it. */
function isOpenInference(request: Buffer): boolean {
  return /^[A-Z]+ \/v2[/ ?]/.test(request.toString('latin1', 0, 20));
}

function faultInError(status: number, type: string, body: Buffer): string | undefined {
  // What is refused by whoever holds the connection has no address yet.
  if (type === 'application/problem+json') return faultInProblem(status, type, body);
  const said = `${status} ${type} ${body.toString('utf8', 0, 500)}`;
  const { error } = (parsed(body) ?? {}) as { readonly error?: unknown };
  if (type !== 'application/json' || typeof error !== 'string' || error === '')
    return `an error that says nothing: ${said}`;
  return status === 500 ? `the server's own failure: ${said}` : undefined;
}

function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString()) as unknown;
  } catch {
    return undefined;
  }
}

/** The code of an error, or the status, to count answers by. */
export function kindOf({ answer }: Exchange): string {
  if (answer === undefined) return 'no answer';
  const { code } = (answer.status >= 400 ? (parsed(answer.body) as { code?: string } | undefined) : undefined) ?? {};
  return code ?? String(answer.status);
}
