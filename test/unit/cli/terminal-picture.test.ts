import { readFile } from 'node:fs/promises';
import sharp from 'sharp';
import { beforeAll, describe, expect, it } from 'vitest';
import { pictureMode, showMap, showPicture } from '../../../src/cli/terminal/terminal-picture.js';

const SCREEN = { isTTY: true, columns: 80, rows: 40 };

/** Red above, blue below, and the right half white: every edge is one of a cell. */
let flag: Buffer;
beforeAll(async () => {
  const pixels = Buffer.alloc(64 * 64 * 3, 255);
  for (let y = 0; y < 64; y++) {
    for (let x = 0; x < 32; x++) pixels.set(y < 32 ? [255, 0, 0] : [0, 0, 255], (y * 64 + x) * 3);
  }
  flag = await sharp(pixels, { raw: { width: 64, height: 64, channels: 3 } })
    .png()
    .toBuffer();
});

/** Half blocks as a terminal draws them: two pixels for each cell, `[row][column]`. */
function readHalfBlocks(text: string): string[][] {
  return text
    .trimEnd()
    .split('\n')
    .flatMap((line) => {
      let [above, below] = ['', ''];
      const [upper, lower]: [string[], string[]] = [[], []];
      for (const [token, layer, color = ''] of line.matchAll(/\x1b\[(?:([34])8;2;)?([\d;]+)m|▀/g)) {
        if (layer === '3') above = color;
        else if (layer === '4') below = color;
        else if (token === '▀') {
          upper.push(above);
          lower.push(below);
        }
      }
      return [upper, lower];
    });
}

describe('pictureMode', () => {
  it.each([
    [{ KITTY_WINDOW_ID: '3' }, 'kitty'],
    [{ TERM: 'xterm-kitty' }, 'kitty'],
    [{ TERM_PROGRAM: 'ghostty', COLORTERM: 'truecolor' }, 'kitty'],
    [{ TERM_PROGRAM: 'iTerm.app' }, 'iterm'],
    [{ TERM_PROGRAM: 'WezTerm' }, 'iterm'],
    [{ LC_TERMINAL: 'iTerm2' }, 'iterm'],
    [{ KITTY_WINDOW_ID: '3', TMUX: '/tmp/tmux', COLORTERM: 'truecolor' }, 'blocks'],
    [{ TERM: 'screen-256color', LC_TERMINAL: 'iTerm2' }, 'characters'],
    [{ COLORTERM: '24bit' }, 'blocks'],
    [{ COLORTERM: 'truecolor', NO_COLOR: '1' }, 'characters'],
    [{ COLORTERM: 'truecolor', NO_COLOR: '' }, 'blocks'],
    [{ TERM: 'xterm-256color' }, 'characters'],
    [{ TERM: 'dumb', COLORTERM: 'truecolor' }, 'none'],
  ])('takes from %o that the terminal shows %s', (environment, mode) => {
    expect(pictureMode('auto', 1, SCREEN, environment)).toBe(mode);
  });

  it('takes what was chosen, but shows nothing where there is no terminal', () => {
    expect(pictureMode('blocks', 100, SCREEN, { TERM: 'dumb' })).toBe('blocks');
    expect(pictureMode('auto', 100, SCREEN, { COLORTERM: 'truecolor' })).toBe('none');
    for (const choice of ['auto', 'kitty', 'blocks'] as const) {
      expect(pictureMode(choice, 1, { isTTY: false }, { COLORTERM: 'truecolor' })).toBe('none');
    }
  });
});

describe('showPicture', () => {
  it('in half blocks has the colours of the picture, two pixels in each cell', async () => {
    const drawn = readHalfBlocks(await showPicture(flag, 'blocks', { ...SCREEN, rows: 18 }));
    expect([drawn.length, drawn[0]!.length]).toEqual([32, 32]);
    for (const [y, row] of drawn.entries()) {
      for (const [x, color] of row.entries()) {
        // Resizing rings beside an edge.
        if (Math.min(Math.abs(y - 15.5), Math.abs(x - 15.5)) < 5) continue;
        expect(color, `${x}, ${y}`).toBe(x >= 16 ? '255;255;255' : y < 16 ? '255;0;0' : '0;0;255');
      }
    }
  });

  it('fits the screen, whatever the shape', async () => {
    const photo = await readFile(new URL('../../fixtures/photos/grace_hopper.jpg', import.meta.url));
    const upright = readHalfBlocks(await showPicture(photo, 'blocks', { ...SCREEN, rows: 12 }));
    expect([upright.length, upright[0]!.length]).toEqual([20, 17]);
    const wide = await sharp({ create: { width: 900, height: 3, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    const drawn = readHalfBlocks(await showPicture(wide, 'blocks', { ...SCREEN, columns: 10 }));
    expect(drawn).toEqual([Array(10).fill('255;0;0'), Array(10).fill('255;0;0')]);
  });

  it('for kitty is a PNG in chunks of at most 4096 letters, which asks for no answer', async () => {
    const photo = await readFile(new URL('../../fixtures/photos/coffee.png', import.meta.url));
    const text = await showPicture(photo, 'kitty', SCREEN);
    const chunks = [...text.matchAll(/\x1b_G([^;]+);([A-Za-z0-9+/=]*)\x1b\\/g)].map(([, keys, data]) => ({
      keys,
      data,
    }));
    expect(`${chunks.map(({ keys, data }) => `\x1b_G${keys};${data}\x1b\\`).join('')}\n`).toBe(text);
    expect(chunks[0]!.keys).toBe('a=T,f=100,q=2,c=64,r=21,m=1');
    expect(new Set(chunks.slice(1, -1).map(({ keys }) => keys))).toEqual(new Set(['m=1']));
    expect(chunks.at(-1)!.keys).toBe('m=0');
    expect(Math.max(...chunks.map(({ data }) => data!.length))).toBe(4096);
    const png = Buffer.from(chunks.map(({ data }) => data).join(''), 'base64');
    expect(await sharp(png).metadata()).toMatchObject({ format: 'png', width: 600, height: 400 });
  });

  it('for iTerm2 is a JPEG inline, with its size', async () => {
    const text = await showPicture(flag, 'iterm', SCREEN);
    const [, size, data = ''] =
      /^\x1b\]1337;File=inline=1;size=(\d+);width=48;preserveAspectRatio=1:([^\x07]+)\x07\n$/.exec(text) ?? [];
    const jpeg = Buffer.from(data, 'base64');
    expect(jpeg.length).toBe(Number(size));
    expect(await sharp(jpeg).metadata()).toMatchObject({ format: 'jpeg', width: 64, height: 64 });
  });
});

describe('showMap', () => {
  it('shows the least as nothing and the most as @, each cell as two characters', () => {
    const values = Float32Array.of(0, 0.5, 1, 1, 0.5, 0);
    expect(showMap({ values, width: 3, height: 2 }, SCREEN)).toBe('  ++@@\n@@++\n');
  });

  it('skips cells where there are more than fit', () => {
    const values = Float32Array.from({ length: 200 * 100 }, (_, cell) => (cell % 200 < 100 ? 1 : 0));
    const lines = showMap({ values, width: 200, height: 100 }, { ...SCREEN, columns: 40 })
      .trimEnd()
      .split('\n');
    expect(lines).toEqual(Array(10).fill('@'.repeat(20)));
    expect(showMap({ values, width: 20_000, height: 1 }, SCREEN).trimEnd().length).toBeLessThanOrEqual(64);
  });
});
