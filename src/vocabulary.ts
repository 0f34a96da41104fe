/**
 * The words that a request chooses among. Each list is a table from words to meanings, and stands once, in the room
 * that acts on it. HTTP schemas, the command line, its completion and the page take words and meanings from there.
 */

/** The meaning of each word, in brief. */
export type Vocabulary<Word extends string = string> = Readonly<Record<Word, string>>;

/** The words in their order: `z.enum(wordsOf(FITS))`. A vocabulary has at least one. */
export function wordsOf<Word extends string>(vocabulary: Vocabulary<Word>): [Word, ...Word[]] {
  return Object.keys(vocabulary) as [Word, ...Word[]];
}

/** `valid: exact sliding window; same: …` */
export function meaningsOf(vocabulary: Vocabulary): string {
  return Object.entries(vocabulary)
    .map(([word, meaning]) => `${word}: ${meaning}`)
    .join('; ');
}
