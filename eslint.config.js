import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

/**
 * Each room of src/, and what it may import besides errors; test/unit/imports.test.ts checks that nothing runs in a circle.
 * The two roads: http → inference → batching → runtime, and models → graph. The playground takes what is pure: maps and
 * classes. What needs Node neither type-checks nor bundles there.
 */
const allowed = {
  app: [
    'batching',
    'config',
    'cores',
    'device',
    'drawing',
    'free-memory',
    'http',
    'inference',
    'keys',
    'memory',
    'models',
    'processes',
    'runtime',
    'tracing',
    'version',
  ],
  architectures: ['graph'],
  batching: ['memory', 'runtime', 'tensor'],
  'buffer-pool': [],
  classes: ['models'],
  cli: [
    ...[
      'app',
      'architectures',
      'classes',
      'client',
      'config',
      'drawing',
      'evaluation',
      'experiments',
      'files',
      'images',
    ],
    ...['inference', 'keys', 'log', 'maps', 'models', 'process-setup', 'server', 'signed-address', 'version'],
    'vocabulary',
  ],
  client: [],
  config: ['cores', 'device', 'runtime'],
  cores: [],
  device: [],
  drawing: ['images', 'inference', 'maps', 'memory', 'models'],
  'engine-process': [
    ...[
      'batching',
      'buffer-pool',
      'drawing',
      'free-memory',
      'images',
      'inference',
      'machine-clock',
      'maps',
      'processes',
      'runtime',
      'tensor',
    ],
  ],
  errors: [],
  evaluation: ['images', 'inference', 'maps', 'models'],
  experiments: [
    ...['app', 'architectures', 'batching', 'classes', 'config', 'cores', 'device', 'evaluation', 'files', 'graph'],
    ...['images', 'inference', 'maps', 'models', 'plots', 'tensor', 'version'],
  ],
  files: ['regular-files'],
  'free-memory': ['koffi'],
  graph: ['tensor'],
  http: [
    ...['batching', 'buffer-pool', 'classes', 'config', 'device', 'drawing', 'inference', 'maps', 'models', 'version'],
    ...['in-transit', 'keys', 'live-files', 'regular-files', 'signed-address', 'tracing', 'turns'],
    'vocabulary',
  ],
  images: ['maps'],
  'in-transit': [],
  inference: [
    ...['batching', 'classes', 'graph', 'images', 'machine-clock', 'maps', 'models', 'runtime', 'tensor'],
    ...['tracing', 'turns'],
  ],
  'kept-folders': ['files'],
  koffi: [],
  keys: ['files', 'live-files', 'regular-files', 'vocabulary'],
  'live-files': [],
  log: [],
  'machine-clock': [],
  maps: ['tensor'],
  memory: [],
  models: [
    ...['architectures', 'files', 'graph', 'kept-folders', 'maps', 'regular-files', 'runtime', 'tensor', 'turns'],
    'vocabulary',
  ],
  'open-files': [],
  plots: ['maps'],
  playground: ['classes', 'client', 'maps', 'vocabulary'],
  'process-setup': ['cores', 'open-files'],
  processes: ['device', 'in-transit', 'runtime'],
  'regular-files': [],
  runtime: [
    'buffer-pool',
    'device',
    'files',
    'free-memory',
    'graph',
    'kept-folders',
    'koffi',
    'regular-files',
    'tensor',
  ],
  'signed-address': [],
  server: ['app', 'config', 'device', 'files', 'log', 'open-files', 'tracing', 'version'],
  tensor: [],
  tracing: [],
  turns: ['maps'],
  version: [],
  vocabulary: [],
};
const parts = Object.keys(allowed);

const boundaries = parts.map((part) => {
  const forbidden = parts.filter((other) => ![part, 'errors', ...allowed[part]].includes(other));
  return {
    files: [`src/${part}/**`, `src/${part}.ts`],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: `^(\\./|(\\.\\./)+)(${forbidden.join('|')})(/|\\.js$)`,
              message: `src/${part} may import only ${[...allowed[part], 'errors'].join(', ')}: dependencies point one way.`,
            },
          ],
        },
      ],
    },
  };
});

/** Libraries that only these files may import. */
const homes = {
  '@observablehq/plot': ['src/plots/**'],
  '@tensorflow/tfjs-core': ['src/runtime/tensorflow/binding.ts'],
  linkedom: ['src/plots/**'],
  koffi: ['src/koffi.ts'],
  h5wasm: ['src/models/files/hdf5.ts'],
  'onnxruntime-node': ['src/runtime/onnxruntime/engine.ts'],
  sharp: ['src/images/image-library.ts'],
  'sonic-boom': ['src/log.ts'],
  undici: ['src/models/pull/http-get.ts'],
  zod: [
    'src/config.ts',
    'src/evaluation/annotations.ts',
    'src/keys/keys-file.ts',
    'src/models/manifest.ts',
    'src/models/pull/catalog.ts',
    'src/models/files/tfjs-file.ts',
    'src/models/import/**',
    'src/models/keras/**',
    'src/http/**',
  ],
};
/** These alone may open files as they like. All others read through regular-files.ts, which a pipe or a device cannot block. */
const readers = [
  'src/regular-files.ts',
  'src/files.ts',
  'src/cli/**',
  'src/cores.ts',
  'src/evaluation/**',
  'src/http/**',
  'src/models/pull/partial-file.ts',
  'src/open-files.ts',
  'src/runtime/processor.ts',
  'src/runtime/tensorflow/binding.ts',
];
const READING = '/^(createReadStream|open|openSync|openAsBlob|readFile|readFileSync)$/';

const restrict = (libraries, mayRead = false) => ({
  'no-restricted-syntax': [
    'error',
    ...libraries.map((name) => ({
      selector: `ImportDeclaration[importKind!="type"][source.value="${name}"]`,
      message: `only in ${homes[name].join(', ')}`,
    })),
    ...(mayRead
      ? []
      : [
          {
            selector: `ImportDeclaration[source.value=/^node:fs/] ImportSpecifier[imported.name=${READING}]`,
            message: 'read through regular-files.ts, or models/files/file-access.ts for a file of a model',
          },
          {
            selector:
              'ImportDeclaration[source.value=/^node:fs/] :matches(ImportDefaultSpecifier, ImportNamespaceSpecifier)',
            message: 'import what you need by name',
          },
        ]),
  ],
});
const libraries = Object.keys(homes);
const confined = [
  { files: ['src/**'], rules: restrict(libraries) },
  { files: readers, rules: restrict(libraries, true) },
  ...[...new Set(Object.values(homes).flat())].map((home) => ({
    files: [home],
    rules: restrict(
      libraries.filter((name) => !homes[name].includes(home)),
      readers.some((reader) => home.startsWith(reader.replace('**', ''))),
    ),
  })),
];

export default tseslint.config(
  {
    ignores: [
      'dist',
      'coverage',
      'src/graph/onnx/proto',
      'src/client/api-types.ts',
      'node_modules',
      'models',
      'scripts',
      'test/fixtures/*.mjs',
      'load/peers/express',
    ],
  },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['eslint.config.js'] } } },
    rules: {
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { varsIgnorePattern: '^_', argsIgnorePattern: '^_' }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // An index signature is read with brackets, a property with a dot.
      '@typescript-eslint/dot-notation': ['error', { allowIndexSignaturePropertyAccess: true }],
    },
  },
  ...boundaries,
  ...confined,
  {
    files: ['src/**'],
    // Ages of files are those of the clock, reports have a date, keys and signed addresses end at one, and spans of several machines
    // are put in order by their clocks.
    ignores: [
      ...['src/files.ts', 'src/kept-folders.ts', 'src/experiments/ground.ts', 'src/keys/calendar.ts'],
      ...['src/signed-address.ts', 'src/tracing/open-telemetry.ts'],
    ],
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'Date', message: 'The clock may be set at any time: performance.now() only goes on.' },
      ],
    },
  },
  { files: ['**/*.cts'], rules: { '@typescript-eslint/no-require-imports': 'off' } },
  { files: ['eslint.config.js'], ...tseslint.configs.disableTypeChecked },
  prettier,
);
