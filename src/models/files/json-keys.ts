/**
 * Finds duplicate keys in JSON texts. JSON.parse keeps the last one silently, so two readers of the same file could see
 * different values.
 */

/**
 * The path of the first duplicate key in `text`, e.g. `conv1.weight.shape`; undefined if there is none. `text` must be
 * valid JSON.
 */
export function duplicateKey(text: string): string | undefined {
  /** An entry for each open bracket: its keys so far (undefined for lists), and the key whose value is being read. */
  const open: { keys: Set<string> | undefined; current: string }[] = [];
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i];
    if (character === '{') open.push({ keys: new Set(), current: '' });
    else if (character === '[') open.push({ keys: undefined, current: '' });
    else if (character === '}' || character === ']') open.pop();
    else if (character === '"') {
      const end = endOfString(text, i);
      const owner = open.at(-1);
      if (owner?.keys !== undefined && isKey(text, end)) {
        owner.current = JSON.parse(text.slice(i, end)) as string;
        if (owner.keys.has(owner.current)) return pathOf(open);
        owner.keys.add(owner.current);
      }
      i = end - 1;
    }
  }
  return undefined;
}

/** Index after the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
}

function isKey(text: string, end: number): boolean {
  let i = end;
  while (i < text.length && ' \t\n\r'.includes(text[i]!)) i += 1;
  return text[i] === ':';
}

function pathOf(open: readonly { current: string }[]): string {
  return open
    .map(({ current }) => current)
    .filter((key) => key !== '')
    .join('.');
}
