/**
 * A small picture in a terminal. It uses kitty's graphics protocol or iTerm2's inline images if the terminal has one,
 * otherwise half blocks (▀, the upper pixel as its foreground, the lower as its background), otherwise characters. The
 * environment says what a terminal can do. No terminal is queried: its answer would come in as if typed. Multiplexers
 * (tmux, screen) pass text on, but not the protocols.
 *
 * Sources: https://sw.kovidgoyal.net/kitty/graphics-protocol/, https://iterm2.com/documentation-images.html.
 */
import { openImage } from '../../images/image-library.js';
import type { ClassMap } from '../../maps/row-sampler.js';
import type { PictureChoice } from './picture-choices.js';

export type PictureMode = Exclude<PictureChoice, 'auto'>;

/** The stream where a picture is shown; sizes in characters. */
export interface Screen {
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
}

/** The most cells of a terminal that a picture takes. A cell is about twice as high as wide. */
const MAX_COLUMNS = 64;
const MAX_ROWS = 24;

/** With more images than this, pictures are shown only if `--picture` asks for them. */
const MAX_PICTURES = 8;

/** Pixels across a cell, for terminals that scale: sharp on most screens, and a few tens of kilobytes. */
const CELL_PIXELS = 10;

/** The screen of a stream. A stream that is no terminal has no size, and gets the defaults. */
export function screenOf({ isTTY = false, columns = 80, rows = 24 }: Partial<Screen>): Screen {
  return { isTTY, columns, rows };
}

/** How to show `count` pictures: on a stream that is no terminal not at all, whatever was chosen. */
export function pictureMode(
  choice: PictureChoice,
  count: number,
  { isTTY }: Pick<Screen, 'isTTY'>,
  environment: Readonly<Record<string, string | undefined>>,
): PictureMode {
  if (!isTTY) return 'none';
  if (choice !== 'auto') return choice;
  const { TERM = '', TERM_PROGRAM = '', COLORTERM = '' } = environment;
  const has = (variable: string): boolean => (environment[variable] ?? '') !== '';
  if (TERM === 'dumb' || count > MAX_PICTURES) return 'none';
  if (has('NO_COLOR')) return 'characters';
  if (!has('TMUX') && !/^(screen|tmux)/.test(TERM)) {
    if (has('KITTY_WINDOW_ID') || TERM === 'xterm-kitty' || TERM_PROGRAM === 'ghostty') return 'kitty';
    if (['iTerm.app', 'WezTerm'].includes(TERM_PROGRAM) || environment['LC_TERMINAL'] === 'iTerm2') return 'iterm';
  }
  return ['truecolor', '24bit'].includes(COLORTERM) || has('WT_SESSION') ? 'blocks' : 'characters';
}

/** An encoded picture as text for the terminal, with a line end. Empty for `characters`, which show only maps. */
export async function showPicture(bytes: Uint8Array, mode: PictureMode, screen: Screen): Promise<string> {
  if (mode === 'none' || mode === 'characters') return '';
  const { width, height } = await openImage(bytes, { maxPixels: false }).metadata().then(upright);
  const { columns, rows } = cellsFor(width / height, screen);
  if (mode === 'blocks') return halfBlocks(await pixelsOf(bytes, columns, rows * 2), columns);
  const small = openImage(bytes, { maxPixels: false })
    .resize({ width: columns * CELL_PIXELS, withoutEnlargement: true })
    .flatten({ background: 'white' })
    .toColourspace('srgb');
  return mode === 'kitty'
    ? kittyPicture(await small.png({ palette: true }).toBuffer(), columns, rows)
    : itermPicture(await small.jpeg({ quality: 85 }).toBuffer(), columns);
}

function upright({ width, height, autoOrient }: { width: number; height: number; autoOrient?: Size }): Size {
  return autoOrient ?? { width, height };
}

interface Size {
  readonly width: number;
  readonly height: number;
}

/** The largest size in cells that fits the screen and the limits above. */
function cellsFor(aspect: number, screen: Screen): { columns: number; rows: number } {
  const maxRows = Math.max(1, Math.min(MAX_ROWS, screen.rows - 2));
  const maxColumns = Math.max(1, Math.min(MAX_COLUMNS, screen.columns));
  const columns = Math.max(1, Math.min(maxColumns, Math.round(maxRows * 2 * aspect)));
  return { columns, rows: Math.max(1, Math.min(maxRows, Math.round(columns / aspect / 2))) };
}

/** 8-bit RGB, `[height, width, 3]`. */
function pixelsOf(bytes: Uint8Array, width: number, height: number): Promise<Buffer> {
  return openImage(bytes, { maxPixels: false })
    .resize(width, height, { fit: 'fill' })
    .flatten({ background: 'white' })
    .toColourspace('srgb')
    .raw({ depth: 'uchar' })
    .toBuffer();
}

function halfBlocks(pixels: Uint8Array, columns: number): string {
  const colorAt = (row: number, column: number): string =>
    pixels.subarray((row * columns + column) * 3, (row * columns + column) * 3 + 3).join(';');
  let text = '';
  for (let row = 0; row < pixels.length / 3 / columns; row += 2) {
    let [above, below] = ['', ''];
    for (let column = 0; column < columns; column++) {
      const [upper, lower] = [colorAt(row, column), colorAt(row + 1, column)];
      if (upper !== above) text += `\x1b[38;2;${upper}m`;
      if (lower !== below) text += `\x1b[48;2;${lower}m`;
      text += '▀';
      [above, below] = [upper, lower];
    }
    text += '\x1b[0m\n';
  }
  return text;
}

/** Bytes of base64 in one escape sequence of kitty's. */
const KITTY_CHUNK = 4096;

/** `q=2` keeps the terminal from answering. */
function kittyPicture(png: Buffer, columns: number, rows: number): string {
  const chunks = png.toString('base64').match(new RegExp(`.{1,${KITTY_CHUNK}}`, 'g')) ?? [];
  const sequences = chunks.map((chunk, index) => {
    const keys = index === 0 ? `a=T,f=100,q=2,c=${columns},r=${rows},` : '';
    return `\x1b_G${keys}m=${index < chunks.length - 1 ? 1 : 0};${chunk}\x1b\\`;
  });
  return `${sequences.join('')}\n`;
}

function itermPicture(jpeg: Buffer, columns: number): string {
  return `\x1b]1337;File=inline=1;size=${jpeg.length};width=${columns};preserveAspectRatio=1:${jpeg.toString('base64')}\x07\n`;
}

/** From the lowest value to the highest. */
const RAMP = ' .:-=+*#%@';

/** A class map as characters, scaled between its own extremes. A cell is two characters wide, so that it is square. */
export function showMap({ values, width, height }: ClassMap, screen: Screen): string {
  const low = values.reduce((least, value) => Math.min(least, value), Infinity);
  const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
  const step = Math.max(1, (2 * width) / Math.min(MAX_COLUMNS, screen.columns), height / MAX_ROWS);
  const characterAt = (row: number, column: number): string => {
    const [y, x] = [Math.min(height - 1, Math.floor((row + 0.5) * step)), Math.floor((column + 0.5) * step)];
    const value = values[y * width + Math.min(width - 1, x)]!;
    const part = high > low ? (value - low) / (high - low) : 0;
    return RAMP[Math.min(RAMP.length - 1, Math.floor(part * RAMP.length))]!.repeat(2);
  };
  return Array.from({ length: Math.floor(height / step) || 1 }, (_, row) =>
    Array.from({ length: Math.floor(width / step) || 1 }, (_, column) => characterAt(row, column)).join(''),
  )
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}
