/** What a stranger's model says cannot command a terminal. */
import { expect, it } from 'vitest';
import { describe as describeModel, facts } from '../../../src/cli/commands/inspect.js';
import { formatTable } from '../../../src/cli/local-service.js';
import { printable, printableLines } from '../../../src/cli/terminal/printable.js';
import { readConfig } from '../../../src/config.js';
import { inspectModel } from '../../../src/models/look/inspect.js';

const HOSTILE = 'a\x1b[2J\x9b31m\rb\nc';

it('a line has no control characters, lines have line feeds alone', () => {
  expect(printable(HOSTILE)).toBe('a?[2J?31m?b?c');
  expect(printableLines(HOSTILE)).toBe('a?[2J?31m?b\nc');
});

it('tables and facts have none of what they are given', () => {
  expect(formatTable([HOSTILE, 'n'], [[HOSTILE, 1]])).toBe('a?[2J?31m?b?c  n\na?[2J?31m?b?c  1');
  expect(facts([['classes', `2: ${HOSTILE}`]])).toBe('  classes         2: a?[2J?31m?b?c');
});

it('inspect prints no text of a model as it is', async () => {
  const whole = await inspectModel('resnet20_cifar', { ...readConfig({}), side: undefined, options: {} });
  const hostile = {
    ...whole,
    ...{ name: HOSTILE, version: HOSTILE, digest: HOSTILE, description: HOSTILE, license: HOSTILE, source: HOSTILE },
    labels: [{ id: HOSTILE, label: HOSTILE }],
    layers: whole.layers.map((layer) => ({ ...layer, name: HOSTILE })),
    head: { was: HOSTILE, became: HOSTILE },
    heatmaps: { available: false as const, reason: HOSTILE },
  };
  for (const allLayers of [false, true]) {
    const text = describeModel(hostile, allLayers);
    expect(text.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    expect(text).toContain('?[2J');
  }
});
