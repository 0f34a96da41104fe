/**
 * The routes of the API, in the order of its description. The routes of the pages depend on the files that were built
 * (playground.ts).
 */
import type { Route } from '../route.js';
import { classifyRoute } from './classify.js';
import { heatmapRoute } from './heatmap.js';
import { getModel, listModels, loadModel, unloadModel } from './models.js';
import { OPEN_INFERENCE_ROUTES } from './open-inference.js';
import { live, metrics, openapi, ready } from './operations.js';
import { segmentRoute } from './segment.js';

export const ROUTES: readonly Route[] = [
  classifyRoute,
  heatmapRoute,
  segmentRoute,
  listModels,
  getModel,
  loadModel,
  unloadModel,
  live,
  ready,
  metrics,
  openapi,
  ...OPEN_INFERENCE_ROUTES,
];
