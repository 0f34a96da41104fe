/**
 * The text fields of a form are parameters, as those of the query are: the same names, the same values, and a repeated one is a
 * list. One that is no parameter is refused by its name, for it would be ignored otherwise. A parameter is in the query or in
 * the form, not in both.
 *
 * Source: RFC 7578, sections 4.6 (`_charset_`) and 4.7 (Content-Transfer-Encoding, which no form may have any more).
 */
import { ServiceError } from '../errors.js';

/** As fastify parses a query: a text, or several of a name. Without a prototype, because its names are a stranger's. */
export type Fields = Record<string, string | string[]>;

/** Of a body that is no form. */
export const NO_FIELDS: Readonly<Fields> = Object.create(null) as Fields;

/** Text fields; the parameters that may be repeated have at most 32 values. */
export const MAX_FIELDS = 256;
/** All text fields together: several times as much as the longest query. */
const MAX_FIELDS_BYTES = 65_536;
/** One of them. */
export const MAX_FIELD_BYTES = 16_384;

export interface FormFields {
  readonly fields: Readonly<Fields>;
  /** Throws INVALID_REQUEST. `isCut`: its text is longer than MAX_FIELD_BYTES. */
  readonly add: (name: string | undefined, value: string, isCut: boolean) => void;
}

export function createFormFields(): FormFields {
  const fields = Object.create(null) as Fields;
  let bytes = 0;
  return {
    fields,
    add(name, value, isCut) {
      if (name === undefined || name === '') {
        throw new ServiceError('INVALID_REQUEST', 'The form has a field without a name.');
      }
      bytes += name.length + Buffer.byteLength(value);
      if (isCut || NO_TEXT.test(value)) {
        const wrong = isCut ? `has more than ${MAX_FIELD_BYTES} bytes` : 'is no text in UTF-8';
        throw new ServiceError('INVALID_REQUEST', 'The form has a field that is no parameter.', {
          errors: [{ parameter: name.slice(0, 100), detail: `${wrong}; ${HOW_TO_SEND_IMAGES}` }],
        });
      }
      if (bytes > MAX_FIELDS_BYTES) {
        throw new ServiceError(
          'INVALID_REQUEST',
          `The fields beside the images have more than ${MAX_FIELDS_BYTES} bytes.`,
          {
            limit: { name: 'form_fields_bytes', value: MAX_FIELDS_BYTES, needed: bytes },
          },
        );
      }
      if (name === '_charset_') {
        if (/^utf-?8$/i.test(value)) return;
        throw new ServiceError('INVALID_REQUEST', 'The texts of the form are not in UTF-8.', {
          errors: [{ parameter: name, detail: 'must be UTF-8' }],
        });
      }
      const before = fields[name];
      fields[name] = before === undefined ? value : [before, value].flat();
    },
  };
}

/** Bytes that are no characters became the second of these. */
const NO_TEXT = /[\0\ufffd]/;

const HOW_TO_SEND_IMAGES = 'an image needs a file name, or a Content-Type of image/*';

/** The parameters of a query and of a form. Throws INVALID_REQUEST for what is in both. */
export function joinParameters(query: unknown, fields: Readonly<Fields>): Fields {
  const joined = Object.assign(Object.create(null) as Fields, query, fields);
  const twice = Object.keys(fields).filter((name) => Object.hasOwn(query as Fields, name));
  if (twice.length > 0) {
    throw new ServiceError('INVALID_REQUEST', 'There are parameters both in the query and in the form.', {
      errors: twice.slice(0, 10).map((name) => ({
        parameter: name.slice(0, 100),
        detail: 'is in the query and in the form; it may be in one of them',
      })),
    });
  }
  return joined;
}
