/**
 * Several maps side by side: the photo and a panel for each class, with a caption and the bar of its colours. On a
 * machine without fonts the panels have no text.
 */
import { blankCanvas, paste, writeText, type Canvas, type Color } from './canvas.js';
import type { PixelSize } from '../maps/input-plan.js';
import { drawLegend, enlargement, legendHeight, type Legend } from './legend.js';

export interface Panel {
  readonly picture: Canvas;
  readonly caption: string;
  /** None for the photo. */
  readonly legend?: Legend | undefined;
}

const GAP = 16;
/** Above a panel that is not enlarged. */
const CAPTION_SIZE = 15;
const CAPTION_HEIGHT = 26;
const PAPER: Color = [255, 255, 255];
const INK: Color = [34, 34, 34];
/** The ratio of width to height that a sheet should come near. */
const ASPECT = 1.5;

/** A sheet has fewer columns if its panels would be narrower than this, because a caption needs room. */
const MIN_PANEL_WIDTH = 96;

/** How panels are arranged, and how large each is. */
export interface SheetLayout {
  readonly columns: number;
  readonly rows: number;
  readonly panel: PixelSize;
  /** Between panels, and around them. */
  readonly gap: number;
}

/** The arrangement of `panels` pictures of the photo's aspect, `width` pixels wide together. */
export function layOut(panels: number, photo: PixelSize, width: number): SheetLayout {
  const gap = Math.min(GAP, Math.floor(width / 8));
  const mostColumns = Math.min(panels, Math.max(1, Math.floor((width - gap) / (MIN_PANEL_WIDTH + gap))));
  const layouts = Array.from({ length: mostColumns }, (_, index) => {
    const columns = index + 1;
    const panelWidth = Math.floor((width - gap) / columns) - gap;
    const panel = { width: panelWidth, height: Math.max(1, Math.round((photo.height * panelWidth) / photo.width)) };
    return { columns, rows: Math.ceil(panels / columns), panel, gap };
  });
  /** How far the sheet is from the aspect, and how many places stay empty. */
  const flaw = (layout: SheetLayout): number => {
    const size = sizeOf(layout, width);
    const empty = layout.columns * layout.rows - panels;
    return Math.abs(Math.log(size.width / size.height / ASPECT)) + empty / panels;
  };
  return layouts.reduce((best, layout) => (flaw(layout) < flaw(best) ? layout : best));
}

/** Pixels of a sheet. */
export function sizeOf({ rows, panel, gap }: SheetLayout, width: number): PixelSize {
  return { width, height: gap + rows * (heightOf(panel) + gap) };
}

/** Of a panel with its caption and its legend. */
function heightOf({ width, height }: PixelSize): number {
  return captionHeight(width) + height + legendHeight(width);
}

function captionHeight(width: number): number {
  return Math.ceil(CAPTION_HEIGHT * enlargement(width));
}

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

/** The size of a picture with the bar of its colours below it. */
export function sizeWithLegend({ width, height }: PixelSize): PixelSize {
  return { width, height: height + legendHeight(width) + GAP / 4 };
}

/** A picture with the bar of its colours below it. */
export async function withLegend(picture: Canvas, legend: Legend): Promise<Canvas> {
  const { width, height } = picture;
  const canvas = blankCanvas(sizeWithLegend(picture), PAPER);
  paste(canvas, picture, 0, 0);
  await drawLegend(canvas, { left: 0, top: height + GAP / 4, width }, legend, INK);
  return canvas;
}
