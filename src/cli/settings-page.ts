/** The page docs/settings.md, made from the table of settings in config.ts. Pure. */
import { SETTING_LIST } from '../config.js';

type Setting = Pick<(typeof SETTING_LIST)[number], 'variable' | 'flag' | 'default' | 'defaultInWords' | 'about'>;

const PAGE = `# Settings

<!-- Made by npm run settings, from src/config.ts. -->

Each is an environment variable, and a flag of every command that computes: \`FULLCONV_MAX_BYTES=1000000\` is
\`--max-bytes 1000000\`. A flag wins over the environment, and an empty variable counts as not set. Lists are written \`a,b\`. A wrong value, or a \`FULLCONV_\`
variable that does not exist, ends the start with a message. [Traces](operations.md#traces) have no settings here: they are switched on
by OpenTelemetry's own variables, \`OTEL_…\`.

| variable | flag | default | meaning |
| --- | --- | --- | --- |
`;

/** The page, in Markdown: a row for each setting, in the order of the table. */
export function settingsMarkdown(settings: readonly Setting[]): string {
  return PAGE + settings.map((setting) => `| ${cells(setting).join(' | ')} |\n`).join('');
}

function cells({ variable, flag, about, defaultInWords, default: value }: Setting): string[] {
  const standard = defaultInWords ?? (value === '' ? 'empty' : `\`${value}\``);
  return [`\`${variable}\``, `\`${flag}\``, standard, about.replaceAll('|', '\\|')];
}
