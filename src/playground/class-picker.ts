/** A search among the model's classes: the combobox pattern of the ARIA practices, with a list of the first matches. */
import type { ModelDetail } from '../client/index.js';
import { element, make } from './elements.js';

type Labels = NonNullable<ModelDetail['labels']>;

const MAX_SHOWN = 40;

export interface ClassPicker {
  /** The classes to choose among; what was typed is forgotten. */
  offer(labels: Labels): void;
}

export function createClassPicker(onPick: (index: number) => void): ClassPicker {
  const input = element('class-search', HTMLInputElement);
  const list = element('class-options', HTMLUListElement);
  let labels: Labels = [];
  let options: HTMLLIElement[] = [];
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
    const matches = matching(labels, input.value).slice(0, MAX_SHOWN);
    options = matches.map((index) => {
      const { id, label } = labels[index]!;
      const item = make('li', { role: 'option', id: `class-${index}`, 'data-index': String(index) }, label, ' ');
      item.append(make('small', {}, id));
      return item;
    });
    list.replaceChildren(...options);
    setOpen(options.length > 0);
    activate(-1);
  }

  function setOpen(isOpen: boolean): void {
    list.hidden = !isOpen;
    input.setAttribute('aria-expanded', String(isOpen));
    if (!isOpen) activate(-1);
  }

  function pick(option: HTMLLIElement | undefined): void {
    if (option === undefined) return;
    const index = Number(option.dataset['index']);
    input.value = labels[index]!.label;
    setOpen(false);
    onPick(index);
  }

  input.addEventListener('input', open);
  input.addEventListener('focus', () => input.select());
  input.addEventListener('click', open);
  input.addEventListener('blur', () => setOpen(false));
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Escape') setOpen(false);
    else if (event.key === 'Enter') pick(options[Math.max(active, 0)]);
    else if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      if (list.hidden) open();
      const step = event.key === 'ArrowDown' ? 1 : -1;
      activate(Math.min(Math.max(active + step, 0), options.length - 1));
    }
  });
  // The press, not the click: it comes before the input loses the focus and the list closes.
  list.addEventListener('pointerdown', (event) => {
    event.preventDefault();
    pick((event.target as Element).closest('li') ?? undefined);
  });

  return {
    offer(next) {
      labels = next;
      options = [];
      input.value = '';
      input.placeholder = `one of ${labels.length}, by name or id`;
      setOpen(false);
    },
  };
}

/** Indices of the classes that a text is part of, those that begin with it first. */
function matching(labels: Labels, text: string): number[] {
  const wanted = text.trim().toLowerCase();
  const ranks = labels.map(({ id, label }) => {
    const at = label.toLowerCase().indexOf(wanted);
    return at >= 0 ? Math.min(at, 1) : id === wanted ? 0 : undefined;
  });
  return [0, 1].flatMap((rank) => ranks.flatMap((found, index) => (found === rank ? [index] : [])));
}
