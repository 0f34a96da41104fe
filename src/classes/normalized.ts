/**
 * Texts in one form of Unicode, in a time that grows with their length and no faster. The marks behind a letter are brought into an
 * order, which takes the square of their number, and a stranger may write thousands: such a text is left as it is.
 *
 * Source: Unicode Standard Annex #15, section 13: no text of any language has more than 30 marks in a row.
 */
const TOO_MANY_MARKS = /\p{M}{31}/u;

/** As String.normalize; a text with more than 30 marks in a row is returned as it is. */
export function normalized(text: string, form: 'NFC' | 'NFD'): string {
  return TOO_MANY_MARKS.test(text) ? text : text.normalize(form);
}
