/** The best classes as bars. A bar lights its class's map while it is pointed at or focused; a click keeps it. */
import type { Prediction } from './answers.js';
import { element, make } from './elements.js';
import { percent } from './percent.js';

export interface Bars {
  /** Show classes. `lit` is the index of the class whose map is drawn, `kept` that of the class that was clicked. */
  show(predictions: readonly Prediction[], lit: number | undefined, kept: number | undefined): void;
}

export interface BarEvents {
  /** A bar is pointed at or focused; undefined: none any more. */
  readonly onPoint: (index: number | undefined) => void;
  readonly onKeep: (index: number) => void;
}

export function createBars({ onPoint, onKeep }: BarEvents): Bars {
  const list = element('bars', HTMLOListElement);
  const rows: HTMLButtonElement[] = [];
  const indexOf = (row: HTMLButtonElement): number => Number(row.dataset['index']);

  /** Rows are kept and refilled, so that neither focus nor pointer loses its row while answers come in. */
  function row(position: number): HTMLButtonElement {
    const known = rows[position];
    if (known !== undefined) return known;
    const made = make(
      'button',
      { type: 'button', class: 'bar' },
      make('span', { class: 'label' }),
      make('span', { class: 'share' }),
      make('span', { class: 'fill', 'aria-hidden': 'true' }),
    );
    for (const event of ['pointerenter', 'focus'] as const) made.addEventListener(event, () => onPoint(indexOf(made)));
    for (const event of ['pointerleave', 'blur'] as const) made.addEventListener(event, () => onPoint(undefined));
    made.addEventListener('click', () => onKeep(indexOf(made)));
    rows[position] = made;
    list.append(make('li', {}, made));
    return made;
  }

  return {
    show(predictions, lit, kept) {
      predictions.forEach(({ index, label, probability = 0 }, position) => {
        const button = row(position);
        button.dataset['index'] = String(index);
        button.classList.toggle('lit', index === lit);
        button.setAttribute('aria-pressed', String(index === kept));
        button.style.setProperty('--share', String(probability));
        const [name, share] = button.querySelectorAll('span');
        name!.textContent = label;
        share!.textContent = percent(probability);
      });
      for (const unused of rows.splice(predictions.length)) unused.parentElement!.remove();
    },
  };
}
