/** The ways a picture comes in: dropped, pasted, chosen, photographed, or one of the samples. */
import { UnreachableError } from '../client/index.js';
import { element, make } from './elements.js';
import cat from './samples/cat.jpg';
import coffee from './samples/coffee.jpg';
import graceHopper from './samples/grace-hopper.jpg';

export interface Picture {
  readonly name: string;
  readonly bytes: Blob;
}

const SAMPLES = [
  { name: 'coffee.jpg', about: 'A cup of coffee', url: coffee },
  { name: 'cat.jpg', about: 'A cat', url: cat },
  { name: 'grace-hopper.jpg', about: 'Grace Hopper', url: graceHopper },
];

/**
 * Call `take` with each picture that comes in, the first sample at once, and `fail` if a sample cannot be fetched. A sample
 * that arrives after a later picture was chosen is dropped.
 */
export function takePictures(take: (picture: Picture) => void, fail: (error: unknown) => void): void {
  /** How many pictures were chosen. */
  let chosen = 0;
  const takeFile = (file: File | null | undefined): void => {
    if (!file) return;
    chosen += 1;
    take({ name: file.name || 'picture', bytes: file });
  };
  for (const [button, input] of [
    ['choose', 'file'],
    ['capture', 'camera'],
  ] as const) {
    const picker = element(input, HTMLInputElement);
    element(button, HTMLButtonElement).addEventListener('click', () => picker.click());
    picker.addEventListener('change', () => {
      takeFile(picker.files?.[0]);
      // Otherwise choosing the same file again would fire no event.
      picker.value = '';
    });
  }

  document.addEventListener('paste', (event) => takeFile(event.clipboardData?.files[0]));
  document.addEventListener('dragover', (event) => {
    event.preventDefault();
    document.body.classList.add('dropping');
  });
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) document.body.classList.remove('dropping');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    document.body.classList.remove('dropping');
    takeFile(event.dataTransfer?.files[0]);
  });

  async function takeSample({ name, url }: (typeof SAMPLES)[number]): Promise<void> {
    const mine = (chosen += 1);
    const bytes = await fetchSample(url).catch((error: unknown) => {
      if (mine === chosen) fail(new UnreachableError('The sample could not be fetched.', { cause: error }));
    });
    if (bytes !== undefined && mine === chosen) take({ name, bytes });
  }
  element('samples', HTMLDivElement).append(
    ...SAMPLES.map((sample) => {
      const button = make(
        'button',
        { type: 'button', 'aria-label': sample.about, title: sample.about },
        make('img', { src: sample.url, alt: '', width: '72', height: '54' }),
      );
      button.addEventListener('click', () => void takeSample(sample));
      return button;
    }),
  );
  void takeSample(SAMPLES[0]!);
}

async function fetchSample(url: string): Promise<Blob> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`the status is ${response.status}`);
  return response.blob();
}
