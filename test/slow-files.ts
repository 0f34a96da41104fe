/**
 * The test files that `npm run test:fast` leaves out; `npm test` runs them too. A file is listed when it takes more than
 * five seconds on an idle core, or starts servers and commands as processes of their own. All others are fast: a new file
 * runs in both until somebody lists it here.
 */
export const SLOW_FILES: readonly string[] = [
  // Processes of their own: the server, the command line, a browser, load tests.
  'test/e2e/**',
  // Every operator and network on every engine, slow ones too, and networks of the published sizes.
  'test/conformance/**',
  'test/unit/architectures/class-map.test.ts',
  'test/unit/architectures/golden.test.ts',
  'test/unit/graph/passes/narrow-to-half.test.ts',
  'test/unit/graph/passes/reduce-output-stride.test.ts',
  'test/unit/models/keras-applications.test.ts',
  'test/unit/models/networks/onnx-network.test.ts',
  'test/unit/models/networks/tfjs-conformance.test.ts',
  'test/unit/models/networks/untrained.test.ts',
  // Thousands of runs on TensorFlow.js' slow backends, of outlines, of whole requests.
  'test/http/heatmap.test.ts',
  'test/unit/maps/outline.test.ts',
  'test/unit/runtime/tensorflow.test.ts',
];
