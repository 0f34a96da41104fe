/** Names of one library from those of another, as a table of rules. */

/** The first pattern that fits is replaced, by a text or by what a function makes of its groups. */
export type NamingRules = readonly (readonly [
  pattern: RegExp,
  replacement: string | ((...groups: string[]) => string),
])[];

/** The other library's name; a name that no pattern fits stays as it is. */
export function renameBy(rules: NamingRules, name: string): string {
  const rule = rules.find(([pattern]) => pattern.test(name));
  if (rule === undefined) return name;
  const [pattern, replacement] = rule;
  return typeof replacement === 'string'
    ? name.replace(pattern, replacement)
    : name.replace(pattern, (_match, ...groups: string[]) => replacement(...groups));
}
