/** The ways to show pictures in a terminal (terminal-picture.ts). */
export const PICTURE_CHOICES = {
  auto: 'by what the terminal can do',
  kitty: "kitty's graphics protocol",
  iterm: "iTerm2's inline images",
  blocks: 'half blocks in true colour',
  characters: 'maps as characters',
  none: 'no pictures',
} as const;

export type PictureChoice = keyof typeof PICTURE_CHOICES;
