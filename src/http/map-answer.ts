/** What all answers with maps say: where the cells are. */
import type { ImageHeatmaps } from '../inference/heatmap.js';
import type { InputPlan } from '../maps/input-plan.js';
import type { Box } from '../maps/localize.js';
import type { AnswerHeaders } from './answer.js';
import type { Answer } from './route.js';

type MapGeometry = ImageHeatmaps['geometry'];

/** What headers say about a map. */
export interface DescribedMap {
  /** In cells. */
  readonly map: { readonly height: number; readonly width: number };
  /** Of the input that it was made from. */
  readonly plan: InputPlan;
  readonly geometry: MapGeometry;
  /** In the order of the maps, or of their shares. */
  readonly classes: readonly { readonly index: number; readonly id: string }[];
}

/** The first fields of a result of either route. */
export function presentImage({
  name,
  header,
  map: { height, width },
  plan: { crop, scale },
  geometry: { kind, outputStride, offset, receptiveField },
}: Omit<DescribedMap, 'classes'> & Pick<ImageHeatmaps, 'name' | 'header'>): object {
  return {
    name,
    width: header.width,
    height: header.height,
    input: { width: crop.width, height: crop.height, scale },
    map: { kind, height, width, outputStride, offset, receptiveField },
  };
}

export function presentBox({ left, top, width, height }: Box): object {
  return { x: left, y: top, width, height };
}

/** For the forms that cannot hold this: the geometry of the map, and the input it was made from. */
export function mapHeaders({
  map: { height, width },
  plan: { crop, scale },
  geometry,
}: Omit<DescribedMap, 'classes'>): AnswerHeaders {
  const { kind, outputStride, offset, receptiveField } = geometry;
  return {
    'fullconv-map': `height=${height}, width=${width}, output-stride=${outputStride}, offset=${offset}, receptive-field=${receptiveField}, kind=${kind}`,
    'fullconv-input': `width=${crop.width}, height=${crop.height}, scale=${scale}`,
  };
}

/**
 * The longest list of classes in a header. Clients and proxies refuse answers whose headers are long together: nginx those
 * beyond 4 KB, Node's fetch those beyond 16 KB.
 */
const MAX_CLASSES_HEADER = 2000;

/** Of the headers of pictures and arrays, for the API's description. JSON says the same in its body. */
export const MAP_HEADERS = {
  'Fullconv-Map': { description: 'Of a picture or an array: the size of the map in cells, and where the cells look' },
  'Fullconv-Input': { description: 'Of a picture or an array: the size and scale of the input of the network' },
  'Fullconv-Classes': { description: 'Of a picture or an array: its classes, as many as there is room for' },
  'Fullconv-Class-Count': {
    description: 'Of a picture or an array: the number of its classes',
    schema: { type: 'integer', minimum: 0 },
  },
} as const satisfies Answer['headers'];

/** Of its classes, for the description of such an answer. */
export const CLASS_HEADERS = `Fullconv-Classes names the classes of a picture or an array, as many as fit into ${MAX_CLASSES_HEADER} characters; Fullconv-Class-Count is the number of all, and JSON lists them`;

/** A longer id is left out: its class has its index alone. */
const MAX_ID = 200;

/** The classes of the maps, in their order, as many as there is room for, and how many classes there are. */
export function classesHeaders(classes: DescribedMap['classes']): AnswerHeaders {
  let list = '';
  for (const { index, id } of classes) {
    const encoded = id.length > MAX_ID ? '' : encodeURIComponent(Buffer.from(id).toString());
    const item = encoded === '' || encoded.length > MAX_ID ? String(index) : `${index};id="${encoded}"`;
    if (list.length + 2 + item.length > MAX_CLASSES_HEADER) break;
    list += list === '' ? item : `, ${item}`;
  }
  return { 'fullconv-classes': list, 'fullconv-class-count': classes.length };
}
