/**
 * The test files that `npm run test:fast` leaves out; `npm test` runs them too. A file is listed when it takes more than
 * three seconds on an idle core, or starts servers and commands as processes of their own. All others are fast: a new file
 * runs in both until somebody lists it here.
 */
export const SLOW_FILES: readonly string[] = [
  // Processes of their own: the server, the command line, a browser, load tests.
  'test/e2e/**',
  'test/unit/processes/pool.test.ts',
  // Waits until memory goes back.
  'test/unit/runtime/openvino.test.ts',
  // Clients and servers that wait for each other, with clocks of a second and more.
  'test/http/changed-files.test.ts',
  'test/http/client.test.ts',
  'test/http/closing.test.ts',
  'test/http/connections.test.ts',
  'test/http/cross-origin.test.ts',
  'test/http/keys.test.ts',
  'test/http/misbehaving-clients.test.ts',
  'test/http/onnx-models.test.ts',
  'test/http/operations.test.ts',
  'test/http/playground.test.ts',
  'test/http/reach.test.ts',
  'test/http/segment.test.ts',
  'test/http/start.test.ts',
  'test/http/tls.test.ts',
  'test/unit/keys/keyring.test.ts',
  'test/unit/load/gpu/step-process.test.ts',
  'test/unit/log.test.ts',
  'test/unit/models/import/**',
  'test/unit/models/registry.test.ts',
  'test/unit/support-progress.test.ts',
  // Every operator and network on every engine, slow ones too, and networks of the published sizes.
  'test/conformance/**',
  'test/unit/architectures/class-map.test.ts',
  'test/unit/architectures/golden.test.ts',
  'test/unit/architectures/nested-residual.test.ts',
  'test/unit/architectures/shared-golden-nested.test.ts',
  'test/unit/experiments/**',
  'test/unit/graph/outline.test.ts',
  'test/unit/graph/passes/narrow-to-half.test.ts',
  'test/unit/graph/passes/reduce-output-stride.test.ts',
  'test/unit/models/half-precision.test.ts',
  'test/unit/models/keras-applications.test.ts',
  'test/unit/models/look/inspect.test.ts',
  'test/unit/models/networks/onnx-network.test.ts',
  'test/unit/models/networks/tfjs-conformance.test.ts',
  'test/unit/models/networks/untrained.test.ts',
  // Thousands of runs on TensorFlow.js' slow backends, of outlines, of files, of whole requests.
  'test/http/body-buffers.test.ts',
  'test/http/classify.test.ts',
  'test/http/device-policy.test.ts',
  'test/http/hard-images.test.ts',
  'test/http/heatmap.test.ts',
  'test/http/hostile-requests.test.ts',
  'test/unit/images/decode.test.ts',
  'test/unit/images/headers.test.ts',
  'test/unit/inference/several-runs.test.ts',
  'test/unit/inference/shapes.test.ts',
  'test/unit/maps/outline.test.ts',
  'test/unit/maps/steps.test.ts',
  'test/unit/models/files/hostile-hdf5.test.ts',
  'test/unit/runtime/tensorflow.test.ts',
];
