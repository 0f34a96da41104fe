/**
 * The colours of classes in label maps, those of Pascal VOC (Everingham 2010): the bits of index + 1, the lowest three
 * first, become the highest bits of red, green and blue. Different classes have different colours, so that a picture can
 * be read back. Without imports, so that an answer names colours where nothing is drawn.
 */

/** The colour of a class as 0xRRGGBB. */
export function labelColor(index: number): number {
  let bits = index + 1;
  let color = 0;
  for (let place = 7; bits > 0; place--) {
    color |= ((bits & 1) << (16 + place)) | (((bits >> 1) & 1) << (8 + place)) | (((bits >> 2) & 1) << place);
    bits >>= 3;
  }
  return color;
}
