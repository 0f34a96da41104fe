/**
 * Several maps side by side: the photo and a panel for each class, with a caption and the bar of its colours. On a
 * machine without fonts the panels have no text.
 */
import { blankCanvas, paste, writeText, type Canvas, type Color } from './canvas.js';
import {
  captionHeight,
  CAPTION_SIZE,
  enlargement,
  GAP,
  heightOf,
  sizeOf,
  sizeWithLegend,
  type SheetLayout,
} from './layout.js';
import { drawLegend, type Legend } from './legend.js';

export interface Panel {
  readonly picture: Canvas;
  readonly caption: string;
  /** None for the photo. */
  readonly legend?: Legend | undefined;
}

const PAPER: Color = [255, 255, 255];
const INK: Color = [34, 34, 34];
/** Put the panels together; each picture has the layout's size. */
export async function composeSheet(panels: readonly Panel[], layout: SheetLayout, width: number): Promise<Canvas> {
  const sheet = blankCanvas(sizeOf(layout, width), PAPER);
  const { panel, columns, gap } = layout;
  const above = captionHeight(panel.width);
  const size = CAPTION_SIZE * enlargement(panel.width);
  for (const [position, { picture, caption, legend }] of panels.entries()) {
    const left = gap + (position % columns) * (panel.width + gap);
    const top = gap + Math.floor(position / columns) * (heightOf(panel) + gap);
    const style = { size, color: INK, maxWidth: panel.width, anchor: 'start' } as const;
    await writeText(sheet, caption, { x: left, y: top + above / 2 }, style);
    paste(sheet, picture, left, top + above);
    if (legend === undefined) continue;
    const below = { left, top: top + above + panel.height + GAP / 4, width: panel.width };
    await drawLegend(sheet, below, legend, INK);
  }
  return sheet;
}

/** A picture with the bar of its colours below it. */
export async function withLegend(picture: Canvas, legend: Legend): Promise<Canvas> {
  const { width, height } = picture;
  const canvas = blankCanvas(sizeWithLegend(picture), PAPER);
  paste(canvas, picture, 0, 0);
  await drawLegend(canvas, { left: 0, top: height + GAP / 4, width }, legend, INK);
  return canvas;
}
