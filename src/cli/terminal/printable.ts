/** Texts of strangers, from a model's file or a server's answer, that are safe on a terminal. */

/** A line: each control character, line breaks included, becomes `?`. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '?');
}

/** Several lines: each control character but the line feed becomes `?`. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}
