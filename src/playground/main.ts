/**
 * The playground: one photo, one question, and the answer as far as it is known. Every change of the question calls
 * `ask`, which ends the question before it. Every new answer calls `draw`, which shows all that is known.
 */
import { createClient, type Model, type ModelDetail } from '../client/index.js';
import { COLORMAP_NAMES, DEFAULT_COLORMAP, type ColormapName } from '../maps/colormap.js';
import type { Edge } from '../maps/edges.js';
import { shortSide } from '../maps/input-plan.js';
import type { MapKind } from '../maps/map-kinds.js';
import { createAnswers, type Classes } from './answers.js';
import { createBars } from './bars.js';
import { createClassPicker } from './class-picker.js';
import { describeDrift } from './drift.js';
import { element, fillSelect, make } from './elements.js';
import { visitorsKey } from './key.js';
import { hideProblem, isAboutQuestion, showProblem } from './notice.js';
import { createOverlay } from './overlay.js';
import type { AskedTiming, PlacedMap } from './placed-map.js';
import { percent } from './percent.js';
import { takePictures, type Picture } from './photo-intake.js';
import {
  SCALES,
  curlCommand,
  heatmapQuery,
  ownMapKind,
  pictureQuery,
  type MapStyle,
  type Question,
} from './question.js';
import { createScaleChart } from './scale-chart.js';
import { copyCommand, save } from './take-away.js';
import { EDGE_NAMES, FIT_NAMES, MAP_KIND_NAMES, RANGE_NAMES, optionsOf } from './words.js';

/** A slider that is being dragged asks after it has rested so long. */
const REST_MS = 150;
const BARS = 5;

const base = new URL('.', document.baseURI);
const client = createClient(base, { apiKey: visitorsKey });
const answers = createAnswers(client);
const overlay = createOverlay();
const chart = createScaleChart();
const bars = createBars({ onPoint: point, onKeep: (index) => keep(index === kept ? undefined : index) });
const picker = createClassPicker(keep);

const controls = {
  model: element('model', HTMLSelectElement),
  fit: element('fit', HTMLSelectElement),
  stride: element('stride', HTMLSelectElement),
  mapKind: element('map-kind', HTMLSelectElement),
  edge: element('edge', HTMLSelectElement),
  average: element('average', HTMLSelectElement),
  flip: element('flip', HTMLInputElement),
  scale: element('scale', HTMLInputElement),
  opacity: element('opacity', HTMLInputElement),
  colormap: element('colormap', HTMLSelectElement),
  range: element('range', HTMLSelectElement),
  smooth: element('smooth', HTMLInputElement),
};
const image = element('photo-image', HTMLImageElement);
const sweepButton = element('sweep', HTMLButtonElement);
const driftText = element('drift-text', HTMLParagraphElement);

let picture: Picture | undefined;
/** The picture that the page shows: the visitor's, or the server's of it. */
let shownPicture: Picture | undefined;
let model: ModelDetail | undefined;
/** The class whose map stays; undefined: the best class. */
let kept: number | undefined;
/** The class whose bar is pointed at or focused. */
let pointed: number | undefined;
/** The last answer, which stays until the next one comes. */
let answered: { readonly question: Question; readonly classes: Classes } | undefined;
let lastMap: PlacedMap | undefined;
let asking: AbortController | undefined;
let sweeping: AbortController | undefined;

function question(): Question | undefined {
  if (model === undefined) return undefined;
  return {
    model,
    fit: controls.fit.value as Question['fit'],
    scale: SCALES[Number(controls.scale.value)]!,
    average: controls.average.value.split(',').map(Number),
    flip: controls.flip.checked,
    outputStride: controls.stride.value === '' ? undefined : Number(controls.stride.value),
    // The select is empty if the model has no maps.
    edge: (controls.edge.value || 'valid') as Edge,
    map: controls.mapKind.value === '' ? undefined : (controls.mapKind.value as MapKind),
  };
}

function style(): MapStyle {
  return {
    colormap: controls.colormap.value as ColormapName,
    opacity: Number(controls.opacity.value) / 100,
    range: controls.range.value as MapStyle['range'],
    interpolation: controls.smooth.checked ? 'bilinear' : 'nearest',
  };
}

/**
 * Ask for what the page now shows and does not know: the classes, then the maps of the best ones and of the kept one.
 */
async function ask(): Promise<void> {
  asking?.abort();
  const asked = question();
  draw();
  if (asked === undefined || picture === undefined) return;
  const { signal } = (asking = new AbortController());
  try {
    if (answers.knownClasses(asked) === undefined) await rest(signal);
    setBusy(true);
    const classes = await answers.classes(asked, signal);
    answered = { question: asked, classes };
    hideProblem();
    draw();
    // The question has loaded it.
    const loaded = isDescribed(asked.model) ? undefined : await client.model(asked.model.name, { signal });
    if (loaded !== undefined && isDescribed(loaded)) {
      showModel(loaded);
      await ask();
      return;
    }
    if (hasMaps(asked.model)) {
      const best = classes.predictions.slice(0, BARS).map(({ index }) => index);
      await answers.fetchMaps(asked, kept === undefined ? best : [...best, kept], signal);
      draw();
    }
    sayAnswer(classes);
  } catch (error) {
    if (signal.aborted) return;
    lastMap = undefined;
    // An answer at another scale would be taken for the answer at this one.
    if (answers.isTooLarge(asked)) answered = undefined;
    draw();
    showProblem(error, () => void ask());
  }
  setBusy(false);
}

function rest(signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, REST_MS);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}

/** Show what is known. */
function draw(): void {
  const asked = question();
  if (asked === undefined) return;
  const known = answers.knownClasses(asked);
  if (known !== undefined) answered = { question: asked, classes: known };
  const predictions = answered?.classes.predictions ?? [];
  const lit = pointed ?? kept ?? predictions[0]?.index;
  const shown = predictions.slice(0, BARS);
  const keptPrediction = predictions.find(({ index }) => index === kept);
  if (keptPrediction !== undefined && !shown.includes(keptPrediction)) shown.push(keptPrediction);
  bars.show(shown, lit, kept);

  const map = lit === undefined ? undefined : answers.knownMap(asked, lit);
  // The last map of the same class stays until the next one arrives.
  lastMap = map ?? (lastMap?.index === lit && hasMaps(asked.model) ? lastMap : undefined);
  overlay.show(lastMap, style());
  const byScale = SCALES.map((scale) => answers.knownClasses({ ...asked, scale })?.predictions);
  chart.show(byScale, asked.scale, lit);
  driftText.textContent = describeDrift(SCALES, byScale) ?? '';
  showScale(asked);
  showTooLarge(asked);
  showTiming('timing-classes', answered?.classes.timing);
  showTiming('timing-map', lastMap?.timing);
  element('opacity-text', HTMLOutputElement).value = `${controls.opacity.value} %`;
  const classOfMap = hasMaps(asked.model) ? lit : undefined;
  element('curl', HTMLElement).textContent = curlCommand(
    base.href,
    picture?.name ?? 'photo.jpg',
    asked,
    classOfMap,
    style(),
    visitorsKey() !== undefined,
  );
  element('downloads', HTMLDivElement)
    .querySelectorAll('button')
    .forEach((button) => (button.disabled = picture === undefined || classOfMap === undefined));
}

/** Of a model that is not loaded the server knows little more than the name. */
function isDescribed({ labels }: ModelDetail): boolean {
  return labels !== undefined;
}

function hasMaps({ outputStrides = [] }: ModelDetail): boolean {
  return outputStrides.length > 0;
}

function showScale({ scale, model: { input } }: Question): void {
  const size = input === undefined ? undefined : shortSide(input.size);
  const side = Math.round(scale * (size ?? 0));
  controls.scale.setAttribute('aria-valuetext', `${scale} times, ${side} pixels`);
  const { width, height } = answered?.question.scale === scale ? answered.classes.input : { width: 0, height: 0 };
  element('scale-text', HTMLParagraphElement).textContent =
    `${scale}× the model’s ${size ?? '?'} pixels` + (width > 0 ? `: an input of ${width} × ${height}` : '');
}

/** Lists the scales that the server refused for this picture, and offers the centre crop instead. */
function showTooLarge(asked: Question): void {
  const tooLarge = SCALES.filter((scale) => answers.isTooLarge({ ...asked, scale }));
  element('too-large', HTMLDivElement).hidden = tooLarge.length === 0;
  element('too-large-text', HTMLSpanElement).textContent =
    `${tooLarge.map((scale) => `${scale}×`).join(', ')}: more pixels than this server takes at once.`;
  element('crop', HTMLButtonElement).hidden = asked.fit === 'crop';
}

function showTiming(id: string, timing: AskedTiming | undefined): void {
  const row = element(id, HTMLTableRowElement);
  const { decodeMs, queueMs, inferMs, roundTripMs } = timing ?? {};
  const cells = [decodeMs, queueMs, inferMs, roundTripMs].map((ms) => make('td', {}, ms?.toFixed(1) ?? '–'));
  row.replaceChildren(row.cells[0]!, ...cells);
}

/** Tells the answer to screen readers. */
function sayAnswer({ predictions: [best] }: Classes): void {
  if (best === undefined) return;
  element('progress-text', HTMLSpanElement).textContent =
    `${picture?.name ?? ''}: ${best.label}, ${percent(best.probability ?? 0)}`;
}

function setBusy(isBusy: boolean): void {
  element('progress', HTMLDivElement).classList.toggle('busy', isBusy);
}

function point(index: number | undefined): void {
  pointed = index;
  draw();
}

function keep(index: number | undefined): void {
  kept = index;
  void ask();
}

function takePicture(next: Picture): void {
  picture = next;
  answers.about(next.bytes);
  answered = lastMap = pointed = kept = undefined;
  sweeping?.abort();
  hideProblem();
  showPhoto(next);
  void ask();
}

function showPhoto(shown: Picture): void {
  const { name, bytes } = shown;
  shownPicture = shown;
  URL.revokeObjectURL(image.src);
  image.hidden = false;
  image.alt = name;
  image.src = URL.createObjectURL(bytes);
}

/**
 * Shows the server's own picture of a photo whose format only the server reads; if the browser cannot show that one either,
 * none. Models without maps draw none.
 */
async function showPhotoByServer(): Promise<void> {
  image.hidden = true;
  if (shownPicture !== picture) return;
  if (picture === undefined || model === undefined || !hasMaps(model)) return;
  const asked = picture;
  try {
    const bytes = await client.heatmapFile(asked.bytes, 'image/png', { model: model.name, alpha: 0 });
    if (picture === asked) showPhoto({ name: asked.name, bytes });
  } catch {
    // The question itself reports what is wrong with the picture.
  }
}

async function chooseModel(name: string): Promise<void> {
  asking?.abort();
  sweeping?.abort();
  try {
    const chosen = await client.model(name);
    if (controls.model.value !== name) return;
    showModel(chosen);
  } catch (error) {
    if (controls.model.value !== name) return;
    setBusy(false);
    // The answers on the page stay those of the model that it names.
    if (model !== undefined) controls.model.value = model.name;
    showProblem(error, () => {
      controls.model.value = name;
      void chooseModel(name);
    });
    return;
  }
  await ask();
}

/** Make it the model that is asked. */
function showModel(next: ModelDetail): void {
  model = next;
  const { outputStrides = [], edges = [], mapKinds = [], heatmapsUnavailable, labels = [] } = model;
  kept = undefined;
  answered = lastMap = undefined;
  picker.offer(labels);
  const about = model.description === undefined ? '' : ` ${model.description}.`;
  element('model-about', HTMLParagraphElement).textContent = isDescribed(model)
    ? `Knows ${labels.length.toLocaleString('en')} things.${about}`
    : 'Not loaded yet: the first question loads it.';
  element('own-size', HTMLSpanElement).textContent =
    model.input === undefined ? '?' : String(shortSide(model.input.size));
  fillSelect(
    controls.stride,
    outputStrides.map((stride, i) => ({
      value: i === 0 ? '' : String(stride),
      text: i === 0 ? `${stride} (its own)` : String(stride),
    })),
    '',
  );
  const own = ownMapKind(model);
  fillSelect(
    controls.mapKind,
    mapKinds.map((kind) => ({ value: kind === own ? '' : kind, text: MAP_KIND_NAMES[kind] })),
    '',
  );
  fillSelect(
    controls.edge,
    edges.map((edge) => ({ value: edge, text: EDGE_NAMES[edge] })),
    'valid',
  );
  const note = element('no-heatmaps', HTMLParagraphElement);
  note.hidden = hasMaps(model) || !isDescribed(model);
  note.textContent = `This model only classifies: ${heatmapsUnavailable ?? 'it has no class map'}`;
}

/**
 * Of a model's versions the highest that is ready, or else one that can be asked: the page asks for models by their names
 * alone.
 */
function oneOfEach(models: readonly Model[]): Model[] {
  const shown = new Map<string, Model>();
  for (const model of models) {
    const other = shown.get(model.name);
    const isBetter = other === undefined || isReady(model) || (canBeAsked(model) && !canBeAsked(other));
    if (isBetter) shown.set(model.name, model);
  }
  return [...shown.values()];
}

function isReady({ state }: Model): boolean {
  return state === 'ready';
}

/** A server that loads models on demand loads one that is unloaded for the question. */
function canBeAsked(model: Model): boolean {
  return isReady(model) || model.state === 'unloaded';
}

async function start(): Promise<void> {
  try {
    const models = oneOfEach(await client.models());
    const best = (is: (entry: Model) => boolean): Model | undefined =>
      models.find((entry) => entry.default && is(entry)) ?? models.find(is);
    const standard = best(isReady) ?? best(canBeAsked) ?? models[0];
    fillSelect(
      controls.model,
      models.map((entry) => ({
        value: entry.name,
        text: isReady(entry) ? entry.name : `${entry.name}: ${entry.reason ?? entry.state}`,
        disabled: !canBeAsked(entry),
      })),
      standard?.name ?? '',
    );
    if (standard !== undefined) await chooseModel(standard.name);
  } catch (error) {
    showProblem(error, () => void start());
  }
}

/** Ask for every scale that is not known yet, the small ones first. Scales that the server refuses are left out. */
async function sweep(): Promise<void> {
  const asked = question();
  if (asked === undefined || picture === undefined) return;
  const { signal } = (sweeping = new AbortController());
  sweepButton.textContent = 'Stop';
  try {
    for (const scale of SCALES) {
      await answers.classes({ ...asked, scale }, signal).catch((error: unknown) => {
        if (!isAboutQuestion(error)) throw error;
      });
      draw();
    }
  } catch (error) {
    if (!signal.aborted) showProblem(error, () => void sweep());
  }
  sweepButton.textContent = 'Try every scale';
  sweeping = undefined;
  element('progress-text', HTMLSpanElement).textContent = driftText.textContent;
}

/** What a download is of. It stays that when the visitor goes on. */
interface Wanted {
  readonly form: string;
  readonly picture: Picture;
  readonly asked: Question;
  readonly style: MapStyle;
  /** Index of the class. */
  readonly lit: number;
}

function wanted(form: string): Wanted | undefined {
  const asked = question();
  const lit = kept ?? answered?.classes.predictions[0]?.index;
  if (asked === undefined || picture === undefined || lit === undefined) return undefined;
  return { form, picture, asked, style: style(), lit };
}

async function download(what: Wanted): Promise<void> {
  const { form, asked, lit } = what;
  const { bytes, name } = what.picture;
  const label = asked.model.labels?.[lit]?.label ?? String(lit);
  // Without what some systems have in no file name.
  const stem = `${name.replace(/\.\w+$/, '')}-${label}`.replace(/[\p{Cc}\\/:*?"<>|]+/gu, '-');
  try {
    if (form === 'image/png') {
      save(await client.heatmapFile(bytes, form, pictureQuery(asked, lit, what.style)), `${stem}.png`);
    } else if (form === 'application/x-npy') {
      save(await client.heatmapFile(bytes, form, heatmapQuery(asked, [lit])), `${stem}.npy`);
    } else {
      const answer = await client.heatmap(bytes, heatmapQuery(asked, [lit]));
      save(new Blob([JSON.stringify(answer)], { type: 'application/json' }), `${stem}.json`);
    }
  } catch (error) {
    showProblem(error, () => void download(what));
  }
}

controls.scale.max = String(SCALES.length - 1);
controls.scale.value = String(SCALES.indexOf(1));
fillSelect(
  controls.colormap,
  COLORMAP_NAMES.map((name) => ({ value: name, text: name })),
  DEFAULT_COLORMAP,
);
fillSelect(controls.range, optionsOf(RANGE_NAMES), 'absolute');
fillSelect(controls.fit, optionsOf(FIT_NAMES), 'whole');
controls.model.addEventListener('change', () => void chooseModel(controls.model.value));
controls.scale.addEventListener('input', () => void ask());
for (const control of [controls.stride, controls.mapKind, controls.edge, controls.average]) {
  control.addEventListener('change', () => void ask());
}
for (const control of [controls.fit, controls.flip]) {
  control.addEventListener('change', () => {
    sweeping?.abort();
    void ask();
  });
}
element('crop', HTMLButtonElement).addEventListener('click', () => {
  controls.fit.value = 'crop';
  controls.fit.dispatchEvent(new Event('change'));
  controls.scale.focus();
});
for (const control of [controls.opacity, controls.colormap, controls.range, controls.smooth]) {
  control.addEventListener('input', draw);
}
image.addEventListener('load', () => {
  const aspect = image.naturalWidth / image.naturalHeight;
  element('photo', HTMLDivElement).style.setProperty('--aspect', String(aspect));
});
image.addEventListener('error', () => void showPhotoByServer());
sweepButton.addEventListener('click', () => {
  if (sweeping === undefined) void sweep();
  else sweeping.abort();
});
element('downloads', HTMLDivElement).addEventListener('click', (event) => {
  const { form } = (event.target as HTMLElement).dataset;
  const what = form === undefined ? undefined : wanted(form);
  if (what !== undefined) void download(what);
});
element('copy', HTMLButtonElement).addEventListener('click', () => void copyCommand());
takePictures(takePicture, (error) => showProblem(error, () => location.reload()));
void start();
