/** Gives the visitor files and the command to take along. */
import { element, make } from './elements.js';

/** Hand a file to the visitor. */
export function save(bytes: Blob, name: string): void {
  const url = URL.createObjectURL(bytes);
  make('a', { href: url, download: name }).click();
  URL.revokeObjectURL(url);
}

/** Copy the command to the clipboard. */
export async function copyCommand(): Promise<void> {
  const code = element('curl', HTMLElement);
  const button = element('copy', HTMLButtonElement);
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'Copied';
  } catch {
    // A page that did not come over HTTPS may not write to the clipboard, so the text is selected instead.
    getSelection()?.selectAllChildren(code);
    button.textContent = 'Selected';
  }
  setTimeout(() => (button.textContent = 'Copy'), 2000);
}
