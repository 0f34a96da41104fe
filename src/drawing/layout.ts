/**
 * Where the parts of a picture are, and how large: the panels of a sheet, captions, and the bar of colours below a map. Pure,
 * and without any drawing: the server's own process asks for sizes before it has a picture drawn.
 */
import type { PixelSize } from '../maps/input-plan.js';

/** The height of the bar and of its numbers, in pixels of a picture that is not enlarged. */
export const BAR_HEIGHT = 12;
export const TEXT_SIZE = 12;
/** Between the bar and its numbers, and at its ends. */
export const BAR_GAP = 4;
/** Bars and letters grow with pictures wider than this, because a picture is looked at as a whole. */
const USUAL_WIDTH = 1000;

/** How many times larger than usual the bar and letters of a picture are. */
export function enlargement(width: number): number {
  return Math.max(1, width / USUAL_WIDTH);
}

/** The height of a picture's legend, in pixels. */
export function legendHeight(width: number): number {
  return Math.ceil((BAR_HEIGHT + 2 * BAR_GAP + TEXT_SIZE) * enlargement(width));
}

/** Between the panels of a sheet. */
export const GAP = 16;
/** Above a panel that is not enlarged. */
export const CAPTION_SIZE = 15;
const CAPTION_HEIGHT = 26;
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
export function heightOf({ width, height }: PixelSize): number {
  return captionHeight(width) + height + legendHeight(width);
}

export function captionHeight(width: number): number {
  return Math.ceil(CAPTION_HEIGHT * enlargement(width));
}

/** The size of a picture with the bar of its colours below it. */
export function sizeWithLegend({ width, height }: PixelSize): PixelSize {
  return { width, height: height + legendHeight(width) + GAP / 4 };
}
