import { expect, it } from 'vitest';
import { buildArchitecture } from '../../../src/architectures/index.js';
import { countPeakValues } from '../../../src/graph/cost.js';
import { imageShapes } from '../../../src/graph/native-shapes.js';
import { applyPass } from '../../../src/graph/pass.js';
import { convolutionalizeGlobalPool } from '../../../src/graph/passes/convolutionalize-global-pool.js';
import { inferShapes } from '../../../src/graph/shapes.js';
import { createDenseViews } from '../../../src/models/dense-views.js';

const SIDE = 448;
const CELLS = (SIDE / 32) ** 2;

/** Bytes of the net with so many classes up to its class map, and of the view with what is behind the map. */
function peaksOf(classes: number, temperature = 1): { readonly net: number; readonly view: number } {
  const graph = applyPass(buildArchitecture('efficientnet_lite0', { classes }), convolutionalizeGlobalPool())!;
  const views = createDenseViews(
    { graph, poolsGlobally: true },
    {
      ...{ name: 'many', nativeSize: { width: 224, height: 224 }, temperature },
      session: (view) => ({ id: view, model: new Uint8Array() }),
    },
  );
  const shapes = inferShapes(graph, imageShapes(graph, { batch: 1, width: SIDE, height: SIDE }));
  return { net: 4 * countPeakValues(graph, shapes), view: views.view().peakBytes({ width: SIDE, height: SIDE }) };
}

it.each([1, 1.5])('counts what a run holds behind the class map, with temperature %s', (temperature) => {
  const { net, view } = peaksOf(50_000, temperature);
  const map = 4 * 50_000 * CELLS;
  expect(net).toBeLessThan(1.1 * map);
  // The map as it is and by position, and little beside them.
  expect(view).toBeGreaterThanOrEqual(2 * map);
  expect(view).toBeLessThan(2.1 * map);
});

it('counts the net where its layers take more than its class map', () => {
  const { net, view } = peaksOf(10);
  // The class that is asked for is a value, too.
  expect(view).toBe(net + 4);
});
