/** Tables of rules that turn the names of one library into those of another. */

/** The first matching pattern is replaced by a text, or by the result of a function of its groups. */
export type NamingRules = readonly (readonly [
  pattern: RegExp,
  replacement: string | ((...groups: string[]) => string),
])[];

/** The other library's name; a name that matches no pattern stays as it is. */
export function renameBy(rules: NamingRules, name: string): string {
  const rule = rules.find(([pattern]) => pattern.test(name));
  if (rule === undefined) return name;
  const [pattern, replacement] = rule;
  return typeof replacement === 'string'
    ? name.replace(pattern, replacement)
    : name.replace(pattern, (_match, ...groups: string[]) => replacement(...groups));
}
