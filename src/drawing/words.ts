/**
 * The choices that a picture has. This file imports nothing, so the command line knows the words before it loads
 * anything.
 */

/** How a class map is drawn: one map, its values as they are, or the photo and all maps side by side. */
export const DRAWINGS = {
  overlay: 'colours over the photo',
  heat: 'colours alone',
  contours: 'lines at each fifth of the range',
  gray16: '16-bit values, PNG only',
  sheet: 'the photo and a captioned map of each class, by default of the three best',
} as const;

export type Drawing = keyof typeof DRAWINGS;

/** How a label map is drawn. */
export const LABEL_DRAWINGS = {
  palette: 'the labels alone',
  overlay: 'the labels over the photo',
} as const;

export type LabelDrawing = keyof typeof LABEL_DRAWINGS;

/** Where the colours have the opacity `alpha`. */
export const OPACITIES = {
  constant: 'everywhere',
  value: 'at the highest values, less below',
} as const;

export type Opacity = keyof typeof OPACITIES;

export const PICTURE_FORMATS = ['png', 'webp', 'avif'] as const;
export type PictureFormat = (typeof PICTURE_FORMATS)[number];

/** The default weight of the colours over the photo, 0 to 1. */
export const DEFAULT_ALPHA = 0.5;

/** How many of the image's own best classes a sheet shows if none are asked for. */
export const SHEET_CLASSES = 3;
