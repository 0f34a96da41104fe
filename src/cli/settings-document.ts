/** Prints the page of the settings; `npm run settings` puts it into docs/settings.md. */
import { SETTING_LIST } from '../config.js';
import { settingsMarkdown } from './settings-page.js';

process.stdout.write(settingsMarkdown(SETTING_LIST));
