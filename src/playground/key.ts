/**
 * The visitor's key, where the server asks for one. It stays in the tab: in its session's storage, never in an address or a
 * cookie. It is shown to nobody, and sent to this server alone.
 */
import { element } from './elements.js';

const PLACE = 'fullconv-key';

/** The key that was entered last, in this tab. */
export function visitorsKey(): string | undefined {
  if (kept !== undefined) return kept;
  try {
    return sessionStorage.getItem(PLACE) ?? undefined;
  } catch {
    // A browser that keeps nothing for this page.
    return undefined;
  }
}

/** Since the page was opened: the storage may refuse to keep it. */
let kept: string | undefined;

function keep(key: string): void {
  kept = key;
  try {
    sessionStorage.setItem(PLACE, key);
  } catch {
    // It holds until the page is left.
  }
}

let retry: () => void = () => undefined;
let isListening = false;

/** Ask the visitor for a key, with the reason, and do `next` once there is one. */
export function askForKey(reason: string, next: () => void): void {
  const form = element('key-form', HTMLFormElement);
  const field = element('key', HTMLInputElement);
  retry = next;
  if (!isListening) {
    isListening = true;
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      keep(field.value.trim());
      field.value = '';
      form.hidden = true;
      retry();
    });
  }
  element('key-reason', HTMLParagraphElement).textContent = reason;
  form.hidden = false;
  field.focus();
}
