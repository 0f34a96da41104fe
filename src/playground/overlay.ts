/**
 * Draws the map over the photo, sampled as the server samples it: each cell lies where its receptive field looked.
 * Pointer and arrow keys read its values. The canvas has the photo's proportions and at most `MAX_SIDE` pixels a side.
 */
import { COLORMAP_SIZE, colormap } from '../maps/colormap.js';
import type { PixelSize } from '../maps/input-plan.js';
import { composeAffine, type Affine, type Point } from '../maps/place.js';
import { rowSampler } from '../maps/row-sampler.js';
import { rangeOf } from '../maps/value-range.js';
import { element } from './elements.js';
import { percent } from './percent.js';
import type { PlacedMap } from './placed-map.js';
import type { MapStyle } from './question.js';

export interface Overlay {
  /** Draw a map, or none. */
  show(map: PlacedMap | undefined, style: MapStyle): void;
}

const MAX_SIDE = 1000;

export function createOverlay(): Overlay {
  const frame = element('photo', HTMLDivElement);
  const canvas = element('overlay', HTMLCanvasElement);
  const cross = element('cross', HTMLDivElement);
  const caption = element('caption', HTMLOutputElement);
  let shown: PlacedMap | undefined;
  let style: MapStyle;
  /** The position that is read, in photo pixels. */
  let probed: Point<'photo'> | undefined;

  function tell(): void {
    cross.hidden = shown === undefined || probed === undefined;
    if (shown === undefined) {
      caption.value = '';
    } else if (probed === undefined) {
      caption.value = `${shown.label}, up to ${percent(shown.peak)}`;
    } else {
      const { photo } = shown;
      cross.style.left = `${((probed.x + 0.5) / photo.width) * 100}%`;
      cross.style.top = `${((probed.y + 0.5) / photo.height) * 100}%`;
      const value = valueAt(shown, probed, style.interpolation);
      caption.value = `${shown.label}, ${value === undefined ? 'not seen' : percent(value)} here (${probed.x}, ${probed.y})`;
    }
  }

  frame.addEventListener('pointermove', (event) => {
    if (shown === undefined) return;
    const { left, top, width, height } = canvas.getBoundingClientRect();
    probed = inside(shown.photo, {
      x: Math.floor(((event.clientX - left) / width) * shown.photo.width),
      y: Math.floor(((event.clientY - top) / height) * shown.photo.height),
    });
    tell();
  });
  for (const end of ['pointerleave', 'blur'] as const) {
    frame.addEventListener(end, () => {
      probed = undefined;
      tell();
    });
  }
  frame.addEventListener('keydown', (event) => {
    const step = ARROWS[event.key];
    if (shown === undefined || step === undefined) return;
    event.preventDefault();
    const { width, height } = shown.photo;
    const from = probed ?? { x: Math.floor(width / 2), y: Math.floor(height / 2) };
    const stride = Math.max(1, Math.round(Math.min(width, height) / 32));
    probed = inside(shown.photo, { x: from.x + step.x * stride, y: from.y + step.y * stride });
    tell();
  });

  return {
    show(map, nextStyle) {
      shown = map;
      style = nextStyle;
      canvas.style.opacity = String(style.opacity);
      frame.setAttribute('aria-label', map === undefined ? 'Photo' : `Photo, and where in it ${map.label} is`);
      if (map === undefined) canvas.getContext('2d')!.clearRect(0, 0, canvas.width, canvas.height);
      else paint(canvas, map, style);
      drawLegend(map, style);
      tell();
    },
  };
}

const ARROWS: Readonly<Record<string, Point<'photo'>>> = {
  ArrowLeft: { x: -1, y: 0 },
  ArrowRight: { x: 1, y: 0 },
  ArrowUp: { x: 0, y: -1 },
  ArrowDown: { x: 0, y: 1 },
};

function inside({ width, height }: PixelSize, { x, y }: Point<'photo'>): Point<'photo'> {
  return { x: Math.min(Math.max(x, 0), width - 1), y: Math.min(Math.max(y, 0), height - 1) };
}

/** The value that is drawn at a pixel of the photo; undefined where the network saw nothing. */
function valueAt(
  { map, placement, covered }: PlacedMap,
  { x, y }: Point<'photo'>,
  interpolation: MapStyle['interpolation'],
): number | undefined {
  const isSeen =
    x >= covered.left && x < covered.left + covered.width && y >= covered.top && y < covered.top + covered.height;
  return isSeen ? rowSampler(map, placement, { left: x, count: 1 }, interpolation)(y)[0] : undefined;
}

function paint(canvas: HTMLCanvasElement, { map, placement, covered, photo }: PlacedMap, style: MapStyle): void {
  const scale = Math.min(1, MAX_SIDE / Math.max(photo.width, photo.height));
  const width = Math.max(1, Math.round(photo.width * scale));
  const height = Math.max(1, Math.round(photo.height * scale));
  const scaleX = photo.width / width;
  const scaleY = photo.height / height;
  const pictureToPhoto: Affine<'picture', 'photo'> = { scaleX, offsetX: 0, scaleY, offsetY: 0 };
  const pictureToCells = composeAffine(pictureToPhoto, placement);
  const left = Math.round(covered.left / scaleX);
  const right = Math.round((covered.left + covered.width) / scaleX);
  const top = Math.round(covered.top / scaleY);
  const bottom = Math.round((covered.top + covered.height) / scaleY);

  const table = colormap(style.colormap);
  const { low, high } = rangeOf(map, style.range);
  const gain = high > low ? (COLORMAP_SIZE - 1) / (high - low) : 0;
  const image = new ImageData(width, height);
  const sample = rowSampler(map, pictureToCells, { left: 0, count: width }, style.interpolation);
  for (let y = top; y < bottom; y++) {
    const samples = sample(y);
    for (let x = left; x < right; x++) {
      const color = Math.round(Math.min(Math.max((samples[x]! - low) * gain, 0), COLORMAP_SIZE - 1)) * 3;
      const at = (y * width + x) * 4;
      image.data[at] = table[color]!;
      image.data[at + 1] = table[color + 1]!;
      image.data[at + 2] = table[color + 2]!;
      image.data[at + 3] = 255;
    }
  }
  canvas.width = width;
  canvas.height = height;
  canvas.getContext('2d')!.putImageData(image, 0, 0);
}

function drawLegend(map: PlacedMap | undefined, style: MapStyle): void {
  element('legend', HTMLDivElement).hidden = map === undefined;
  if (map === undefined) return;
  const { low, high } = rangeOf(map.map, style.range);
  element('legend-low', HTMLSpanElement).textContent = percent(low);
  element('legend-high', HTMLSpanElement).textContent = percent(high);
  const table = colormap(style.colormap);
  const ramp = new ImageData(COLORMAP_SIZE, 1);
  for (let i = 0; i < COLORMAP_SIZE; i++) ramp.data.set([...table.subarray(i * 3, i * 3 + 3), 255], i * 4);
  element('legend-ramp', HTMLCanvasElement).getContext('2d')!.putImageData(ramp, 0, 0);
}
