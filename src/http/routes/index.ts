/**
 * The routes of the API, in the order of its description. The routes of the pages depend on the files that were built
 * (playground.ts).
 */
import type { Route } from '../route.js';
import { classifyRoutes } from './classify.js';
import { heatmapRoutes } from './heatmap.js';
import { getModel, listModels, loadModel, unloadModel } from './models.js';
import { OPEN_INFERENCE_ROUTES } from './open-inference.js';
import { live, metrics, openapi, ready } from './operations.js';
import { segmentRoutes } from './segment.js';

export const ROUTES: readonly Route[] = [
  ...classifyRoutes,
  ...heatmapRoutes,
  ...segmentRoutes,
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
