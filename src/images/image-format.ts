/**
 * Tells a file's format from its magic number, before any decoder sees the bytes. The client's Content-Type is not
 * trusted. Pure. Six formats are accepted; the most common others are recognized so that a refusal can name them.
 *
 * Sources: PNG 3rd ed. §5.2, ITU-T T.81 B.1.1.3, RFC 9649 (WebP), GIF89a §17, TIFF 6.0 §2 and BigTIFF,
 * ISO/IEC 14496-12 §4.3 (ftyp brands), AVIF 1.1 §6.
 */

export type ImageFormat = 'jpeg' | 'png' | 'webp' | 'gif' | 'avif' | 'tiff';

/** The extensions of files in a folder that count as images. */
export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg',
  '.jpeg',
  '.png',
  '.webp',
  '.gif',
  '.avif',
  '.tif',
  '.tiff',
]);

export type SniffedFormat =
  | { readonly accepted: true; readonly format: ImageFormat }
  /** `name` is for the client: "SVG", "PDF"; undefined if nothing known was found. */
  | { readonly accepted: false; readonly name: string | undefined };

/** `?` stands for any byte. Latin-1, at offset 0. */
const ACCEPTED: readonly (readonly [magic: string, format: ImageFormat])[] = [
  ['\xff\xd8\xff', 'jpeg'],
  ['\x89PNG\r\n\x1a\n', 'png'],
  ['RIFF????WEBP', 'webp'],
  ['GIF87a', 'gif'],
  ['GIF89a', 'gif'],
  ['II\x2a\0', 'tiff'],
  ['MM\0\x2a', 'tiff'],
  ['II\x2b\0', 'tiff'],
  ['MM\0\x2b', 'tiff'],
];

const RECOGNIZED: readonly (readonly [magic: string, name: string])[] = [
  ['%PDF', 'PDF'],
  ['\xff\x0a', 'JPEG XL'],
  ['\0\0\0\x0cJXL ', 'JPEG XL'],
  ['\0\0\0\x0cjP  ', 'JPEG 2000'],
  ['\xff\x4f\xff\x51', 'JPEG 2000'],
  ['BM', 'BMP'],
  ['\0\0\x01\0', 'ICO'],
  ['8BPS', 'Photoshop'],
  ['\x76\x2f\x31\x01', 'OpenEXR'],
  ['%!PS', 'PostScript'],
  ['PK\x03\x04', 'ZIP'],
  ['\x1f\x8b', 'gzip'],
  ['\x1a\x45\xdf\xa3', 'Matroska or WebM video'],
  ['RIFF????AVI ', 'AVI video'],
];

/** The root element of an SVG or HTML text is sought in this many bytes. */
const TEXT_PREFIX = 1024;

/** Name the format of `bytes`. Looks at the first kilobyte at most. */
export function sniffFormat(bytes: Uint8Array): SniffedFormat {
  const accepted = ACCEPTED.find(([magic]) => startsWith(bytes, magic));
  if (accepted !== undefined) return { accepted: true, format: accepted[1] };
  if (startsWith(bytes, '????ftyp')) return sniffBrands(bytes);
  const recognized = RECOGNIZED.find(([magic]) => startsWith(bytes, magic));
  return { accepted: false, name: recognized?.[1] ?? sniffText(bytes) };
}

/**
 * Name an ISO base media file by its brands. A file of a general image brand (`mif1`) is AVIF if it is compatible with
 * AVIF.
 */
function sniffBrands(bytes: Uint8Array): SniffedFormat {
  const boxEnd = Math.min(new DataView(bytes.buffer, bytes.byteOffset).getUint32(0), TEXT_PREFIX);
  const text = latin1(bytes.subarray(8, Math.max(12, boxEnd)));
  const brands = text.match(/[^]{4}/g) ?? [];
  const [major = '', , ...compatible] = brands;
  if (/^avi[fs]$/.test(major)) return { accepted: true, format: 'avif' };
  if (/^(mif1|msf1|miaf)$/.test(major) && compatible.some((brand) => /^avi[fs]$/.test(brand))) {
    return { accepted: true, format: 'avif' };
  }
  const isHeic = /^(hei[cxms]|hev[cxms]|mif1|msf1)$/.test(major);
  return { accepted: false, name: isHeic ? 'HEIC' : /^crx $/.test(major) ? 'Canon CR3' : 'MP4 or QuickTime video' };
}

function sniffText(bytes: Uint8Array): string | undefined {
  const text = new TextDecoder().decode(bytes.subarray(0, TEXT_PREFIX)).trimStart().toLowerCase();
  if (!text.startsWith('<')) return /^[[{]/.test(text) ? 'JSON' : undefined;
  if (text.includes('<svg') || text.includes('svg 1.1')) return 'SVG';
  return /^<(!doctype html|html)/.test(text) ? 'HTML' : 'XML';
}

function startsWith(bytes: Uint8Array, magic: string): boolean {
  if (bytes.length < magic.length) return false;
  for (let i = 0; i < magic.length; i++) {
    if (magic[i] !== '?' && bytes[i] !== magic.charCodeAt(i)) return false;
  }
  return true;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}
