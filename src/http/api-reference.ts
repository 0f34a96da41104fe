/**
 * The OpenAPI document as HTML for people: operations with their parameters and answers, then the schemas they refer
 * to. Takes the document of openapi.ts, not just any. Pure; every text is escaped.
 */

interface Schema {
  readonly $ref?: string;
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
}

type Content = Readonly<Record<string, { readonly schema?: Schema }>>;

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly { name: string; in: string; description?: string; schema: Schema }[];
  /** By scheme, the scopes of a key; a requirement of nothing: only where the server asks for keys. */
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[];
  readonly requestBody?: { readonly description: string; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
}

export interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

export function apiReference({ paths, components }: ApiDocument): string {
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ title: `${method.toUpperCase()} ${path}`, operation })),
  );
  const links = operations.map(
    ({ title, operation: { operationId, summary } }) =>
      `<li><a href="#${operationId}"><code>${escape(title)}</code></a> ${escape(summary)}</li>`,
  );
  return [
    `<nav aria-label="Operations"><ul>${links.join('')}</ul></nav>`,
    ...operations.map(({ title, operation }) => operationSection(title, operation)),
    '<h2>Schemas</h2>',
    ...Object.entries(components.schemas).map(
      ([name, schema]) => `<section id="schema-${name}"><h3>${name}</h3>${properties(schema)}</section>`,
    ),
  ].join('\n');
}

function operationSection(
  title: string,
  { operationId, summary, parameters = [], security = [], requestBody, responses }: Operation,
): string {
  const asked = parameters.map(({ name, description = '', schema }) => [
    `<code>${name}</code>`,
    typeOf(schema),
    schema.default === undefined ? '' : `<code>${escape(JSON.stringify(schema.default))}</code>`,
    escape(description),
  ]);
  const answers = Object.entries(responses).map(([status, { description, content = {} }]) => [
    `<code>${status}</code>`,
    contentOf(content),
    escape(description),
  ]);
  return [
    `<section id="${operationId}"><h2><code>${escape(title)}</code></h2><p>${escape(summary)}.${keySentence(security)}</p>`,
    asked.length === 0 ? '' : table('Parameters', ['name', 'type', 'default', 'meaning'], asked),
    requestBody === undefined
      ? ''
      : table('Body', ['media types', 'meaning'], [[contentOf(requestBody.content), escape(requestBody.description)]]),
    table('Answers', ['status', 'body', 'meaning'], answers),
    '</section>',
  ].join('');
}

function keySentence(security: NonNullable<Operation['security']>): string {
  const scopes = [...new Set(security.flatMap((requirement) => Object.values(requirement).flat()))];
  if (scopes.length === 0) return '';
  const where = security.some((requirement) => Object.keys(requirement).length === 0)
    ? ', where the server asks for keys'
    : '';
  return ` Needs a key with the scope ${scopes.map((scope) => `<code>${escape(scope)}</code>`).join(', ')}${where}.`;
}

function contentOf(content: Content): string {
  return Object.entries(content)
    .map(([type, { schema }]) => `<code>${type}</code>${schema === undefined ? '' : ` ${typeOf(schema)}`}`)
    .join('<br />');
}

function properties(schema: Schema): string {
  const { required = [] } = schema;
  const rows = Object.entries(schema.properties ?? {}).map(([name, property]) => [
    `<code>${name}${required.includes(name) ? '' : '?'}</code>`,
    typeOf(property),
    escape(property.description ?? ''),
  ]);
  return table(undefined, ['name', 'type', 'meaning'], rows);
}

/** A type in words, with the range of a number; schemas as links. */
function typeOf({ $ref, type = 'any', enum: values, anyOf, items, required = [], ...schema }: Schema): string {
  if ($ref !== undefined) {
    const name = $ref.slice($ref.lastIndexOf('/') + 1);
    return `<a href="#schema-${name}">${name}</a>`;
  }
  if (values !== undefined) return values.map((value) => `<code>${escape(String(value))}</code>`).join(' | ');
  if (anyOf !== undefined) return anyOf.map(typeOf).join(' | ');
  if (items !== undefined) return `list of ${typeOf(items)}`;
  if (schema.properties !== undefined) {
    const fields = Object.entries(schema.properties).map(
      ([name, field]) => `<code>${name}${required.includes(name) ? '' : '?'}</code>: ${typeOf(field)}`,
    );
    return `{ ${fields.join(', ')} }`;
  }
  const { minimum, maximum } = schema;
  const isBounded = minimum !== undefined && maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  return isBounded ? `${type}, ${minimum} to ${maximum}` : type;
}

function table(caption: string | undefined, header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (kind: 'th scope="col"' | 'td', row: readonly string[]): string =>
    `<tr>${row.map((cell) => `<${kind}>${cell}</${kind.slice(0, 2)}>`).join('')}</tr>`;
  const title = caption === undefined ? '' : `<caption>${caption}</caption>`;
  const body = rows.map((row) => cells('td', row)).join('');
  return `<div class="sheet" tabindex="0"><table>${title}<thead>${cells('th scope="col"', header)}</thead><tbody>${body}</tbody></table></div>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character]!);
}
