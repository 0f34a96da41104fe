/** A search among the model's classes: the combobox pattern of the ARIA practices, with a list of the best matches. */
import type { ModelDetail } from '../client/index.js';
import { createClassSearch, distinctNames, type ClassSearch } from '../classes/class-search.js';
import { element, make } from './elements.js';

type Labels = NonNullable<ModelDetail['labels']>;

/** The most options that are shown: nobody reads more, and each costs time at every key. */
const MAX_SHOWN = 20;
/** Near classes that are offered if no class fits. */
const NEAREST = 3;

export interface ClassPicker {
  /** Offer these classes, and clear the typed text. */
  offer(labels: Labels): void;
}

export function createClassPicker(onPick: (index: number) => void): ClassPicker {
  const input = element('class-search', HTMLInputElement);
  const list = element('class-options', HTMLUListElement);
  const count = element('class-count', HTMLOutputElement);
  let labels: Labels = [];
  let names: readonly string[] = [];
  let search: ClassSearch = createClassSearch([]);
  let options: HTMLLIElement[] = [];
  /** Whether the options fit the typed text, and are not merely near to it. */
  let isFitting = false;
  let active = -1;

  function activate(position: number): void {
    options[active]?.removeAttribute('aria-selected');
    active = position;
    const option = options[active];
    if (option === undefined) {
      input.removeAttribute('aria-activedescendant');
      return;
    }
    option.setAttribute('aria-selected', 'true');
    option.scrollIntoView({ block: 'nearest' });
    input.setAttribute('aria-activedescendant', option.id);
  }

  function open(): void {
    const matching = search.matching(input.value);
    isFitting = matching.length > 0;
    const shown = isFitting ? matching.slice(0, MAX_SHOWN) : search.nearest(input.value, NEAREST);
    options = shown.map((index) => {
      const { id, label } = labels[index]!;
      const item = make('li', { role: 'option', id: `class-${index}`, 'data-index': String(index) }, label, ' ');
      item.append(make('small', {}, id));
      return item;
    });
    list.replaceChildren(...options);
    list.scrollTop = 0;
    setOpen(options.length > 0);
    activate(-1);
    count.value = describe(matching.length);
  }

  function setOpen(isOpen: boolean): void {
    list.hidden = !isOpen;
    input.setAttribute('aria-expanded', String(isOpen));
    if (isOpen) return;
    activate(-1);
    count.value = '';
  }

  function pick(option: HTMLLIElement | undefined): void {
    if (option === undefined) return;
    const index = Number(option.dataset['index']);
    input.value = names[index]!;
    setOpen(false);
    onPick(index);
  }

  input.addEventListener('input', open);
  input.addEventListener('focus', () => input.select());
  input.addEventListener('click', open);
  input.addEventListener('blur', () => setOpen(false));
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') setOpen(false);
    else if (event.key === 'Enter') pick(options[isFitting ? Math.max(active, 0) : active]);
    else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (list.hidden) open();
      const step = event.key === 'ArrowDown' ? 1 : -1;
      activate(Math.min(Math.max(active + step, 0), options.length - 1));
    }
  });
  // The press comes before the input loses the focus and the list closes; a click would come after.
  list.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    pick((event.target as Element).closest('li') ?? undefined);
  });

  return {
    offer(next) {
      labels = next;
      names = distinctNames(labels);
      search = createClassSearch(labels);
      options = [];
      input.value = '';
      input.placeholder = `one of ${labels.length.toLocaleString('en')}, by name or id`;
      setOpen(false);
    },
  };
}

function describe(found: number): string {
  if (found === 0) return 'none; the nearest';
  return found === 1 ? '1 class' : `${found.toLocaleString('en')} classes`;
}
