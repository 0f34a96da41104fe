/**
 * Bodies that nobody reads, dropped where they are parsed. Node copies each piece of a body into a buffer of its own and hands it to
 * JavaScript, also where it is then thrown away: a sixth of what a refusal costs. Its parser leaves that out while it has no
 * function to call for a piece. The next request of a parser has its function again, before a byte of its body is parsed.
 *
 * The function is a part of Node that is not documented. It is found by its name; where that is another, bodies are discarded
 * as ever.
 */
import type { IncomingMessage } from 'node:http';

type OnBody = (piece: Buffer) => void;
/** Node's parser of a connection, whose callbacks are numbered. */
type Parser = Record<number, OnBody | undefined>;

const NAME = 'parserOnBody';
const MOST_CALLBACKS = 8;

/** Which callback it is: the same for all parsers. −1: there is none. */
let place: number | undefined;
let onBody: OnBody | undefined;

/** Drop what has not come of the body of a request that has its answer. */
export function discardBody({ socket }: IncomingMessage): void {
  const parser = parserOf(socket);
  if (parser === undefined) return;
  place ??= Array.from({ length: MOST_CALLBACKS }, (_, number) => parser[number]?.name).indexOf(NAME);
  if (place < 0) return;
  onBody ??= parser[place];
  parser[place] = undefined;
}

/** A request begins. Must be called for each before its body comes. */
export function keepBody({ socket }: IncomingMessage): void {
  if (onBody === undefined) return;
  const parser = parserOf(socket);
  if (parser !== undefined) parser[place!] = onBody;
}

/** Undefined for what is no connection of Node's server. */
function parserOf(socket: IncomingMessage['socket']): Parser | undefined {
  return (socket as { readonly parser?: Parser | null }).parser ?? undefined;
}
