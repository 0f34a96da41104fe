/** The legend of a picture: a bar that shows which colour is which value. */
import { hasFonts, textWidth, writeText, type Canvas, type Color } from './canvas.js';
import { BAR_GAP, BAR_HEIGHT, enlargement, TEXT_SIZE } from './layout.js';
import { COLORMAP_SIZE, colormap, type ColormapName } from '../maps/colormap.js';

export interface Legend {
  readonly colormap: ColormapName;
  /** The values of the first and the last colour. */
  readonly low: number;
  readonly high: number;
}

/** Where numbers stand: the first of these lists that has room. A number is never cut, since that would change it. */
const TICKS = [
  [0, 0.25, 0.5, 0.75, 1],
  [0, 0.5, 1],
  [0, 1],
];

/** Draw the bar with its numbers below it, from (left, top), `width` pixels wide. */
export async function drawLegend(
  canvas: Canvas,
  { left, top, width }: { readonly left: number; readonly top: number; readonly width: number },
  { colormap: name, low, high }: Legend,
  color: Color,
): Promise<void> {
  const times = enlargement(width);
  const colors = colormap(name);
  for (let x = 0; x < width; x++) {
    const entry = Math.round((x / Math.max(1, width - 1)) * (COLORMAP_SIZE - 1)) * 3;
    for (let y = 0; y < BAR_HEIGHT * times; y++) {
      canvas.pixels.set(colors.subarray(entry, entry + 3), ((top + y) * canvas.width + left + x) * 3);
    }
  }
  const numberAt = (tick: number): string => {
    const value = low + tick * (high - low);
    // A value that is too small to show on this bar is written as 0, not as 5.67e-18.
    return formatTick(Math.abs(value) < (high - low) / 1000 ? 0 : value);
  };
  for (const tick of await ticksWithRoom(width / times, numberAt)) {
    const place = { x: left + tick * width, y: top + (BAR_HEIGHT + BAR_GAP + TEXT_SIZE / 2) * times };
    const anchor = tick === 0 ? 'start' : tick === 1 ? 'end' : 'middle';
    await writeText(canvas, numberAt(tick), place, { size: TEXT_SIZE * times, color, maxWidth: width, anchor });
  }
}

/**
 * The places whose numbers have room below a bar `width` pixels wide, not enlarged; none on a machine without fonts.
 */
export async function ticksWithRoom(width: number, numberAt: (tick: number) => string): Promise<readonly number[]> {
  if (!(await hasFonts())) return [];
  for (const ticks of TICKS) {
    const widest = Math.max(...(await Promise.all(ticks.map((tick) => textWidth(numberAt(tick), TEXT_SIZE)))));
    // The numbers at the ends extend inwards; the numbers between are centred on their place.
    const room = ticks.length === 2 ? 2 * widest + BAR_GAP : 1.5 * widest + TEXT_SIZE;
    if (room * (ticks.length - 1) <= width) return ticks;
  }
  return [];
}

/** At most three significant digits. */
export function formatTick(value: number): string {
  return String(Number(value.toPrecision(3)));
}
