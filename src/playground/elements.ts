/** The elements of index.html, found once and checked: a page that lacks one does not start. */

export function element<T extends Element>(id: string, kind: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return found;
}

/** A new element with attributes and children. */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Readonly<Record<string, string>> = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

/** Fill a select. The chosen value stays if it is still an option; otherwise `standard` is chosen. */
export function fillSelect(
  select: HTMLSelectElement,
  options: readonly { readonly value: string; readonly text: string; readonly disabled?: boolean }[],
  standard: string,
): void {
  const before = select.value;
  select.replaceChildren(
    ...options.map(({ value, text, disabled = false }) => {
      const option = make('option', { value }, text);
      option.disabled = disabled;
      return option;
    }),
  );
  select.value = options.some(({ value }) => value === before) ? before : standard;
  select.disabled = options.length === 0;
}
