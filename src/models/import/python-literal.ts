/**
 * Reads what Python's `repr` writes of dictionaries, lists, tuples, texts and numbers: Ultralytics keeps the names of
 * classes so in ONNX files, and ImageNet's labels are spread in this form. Nothing is evaluated.
 */

export type PythonValue = string | number | boolean | null | readonly PythonValue[] | ReadonlyMap<string, PythonValue>;

/** Limit for dictionaries and lists inside of one another. */
const MAX_DEPTH = 8;

const WORDS = new Map<string, PythonValue>([
  ['True', true],
  ['False', false],
  ['None', null],
]);
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', "'": "'", '"': '"', '\\': '\\' };

/** The value of a literal; keys of dictionaries become texts. Undefined if the text is no such literal. */
export function readPythonLiteral(text: string): PythonValue | undefined {
  const reader = new Reader(text);
  try {
    const value = reader.value(0);
    return reader.isAtEnd() ? value : undefined;
  } catch (error) {
    if (error instanceof NoLiteral) return undefined;
    throw error;
  }
}

class NoLiteral extends Error {}

class Reader {
  readonly #text: string;
  #next = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    this.#skipSpace();
    return this.#next === this.#text.length;
  }

  value(depth: number): PythonValue {
    if (depth > MAX_DEPTH) throw new NoLiteral();
    this.#skipSpace();
    switch (this.#text[this.#next]) {
      case '{':
        return this.#dictionary(depth);
      case '[':
        return this.#list(depth, ']');
      case '(':
        return this.#list(depth, ')');
      case "'":
      case '"':
        return this.#string();
      default:
        return this.#word();
    }
  }

  #dictionary(depth: number): ReadonlyMap<string, PythonValue> {
    const entries = new Map<string, PythonValue>();
    this.#next += 1;
    while (!this.#takes('}')) {
      const key = this.value(MAX_DEPTH);
      if (typeof key === 'object' || !this.#takes(':')) throw new NoLiteral();
      entries.set(String(key), this.value(depth + 1));
      if (!this.#takes(',') && !this.#sees('}')) throw new NoLiteral();
    }
    return entries;
  }

  #list(depth: number, close: string): readonly PythonValue[] {
    const items: PythonValue[] = [];
    this.#next += 1;
    while (!this.#takes(close)) {
      items.push(this.value(depth + 1));
      if (!this.#takes(',') && !this.#sees(close)) throw new NoLiteral();
    }
    return items;
  }

  #string(): string {
    const quote = this.#text[this.#next]!;
    const parts: string[] = [];
    let begin = (this.#next += 1);
    for (; this.#text[this.#next] !== quote; this.#next += 1) {
      if (this.#next >= this.#text.length) throw new NoLiteral();
      if (this.#text[this.#next] !== '\\') continue;
      parts.push(this.#text.slice(begin, this.#next), this.#escape());
      begin = this.#next + 1;
    }
    parts.push(this.#text.slice(begin, this.#next));
    this.#next += 1;
    return parts.join('');
  }

  /** The character of an escape; leaves the reader on its last character. */
  #escape(): string {
    const letter = this.#text[(this.#next += 1)] ?? '';
    const digits = { x: 2, u: 4, U: 8 }[letter];
    if (digits === undefined) return ESCAPES[letter] ?? `\\${letter}`;
    const code = Number.parseInt(this.#text.slice(this.#next + 1, this.#next + 1 + digits), 16);
    if (!(code <= 0x10ffff)) throw new NoLiteral();
    this.#next += digits;
    return String.fromCodePoint(code);
  }

  #word(): PythonValue {
    const [word = ''] = /^[\w.+-]+/.exec(this.#text.slice(this.#next, this.#next + 64)) ?? [];
    this.#next += word.length;
    const known = WORDS.get(word);
    if (known !== undefined) return known;
    const number = word === '' ? Number.NaN : Number(word);
    if (Number.isNaN(number)) throw new NoLiteral();
    return number;
  }

  #sees(character: string): boolean {
    this.#skipSpace();
    return this.#text[this.#next] === character;
  }

  #takes(character: string): boolean {
    const there = this.#sees(character);
    if (there) this.#next += 1;
    return there;
  }

  #skipSpace(): void {
    while (' \t\r\n'.includes(this.#text[this.#next] ?? '.')) this.#next += 1;
  }
}
