/**
 * Copies the alerts and the dashboard into the Helm chart, `npm run chart:files`: helm reads no file outside of a chart.
 * test/unit/deploy/chart.test.ts compares them.
 */
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { basename, join } from 'node:path';

const FOLDER = 'deploy/helm/fullconv/files';
for (const file of ['deploy/prometheus/rules.yaml', 'deploy/grafana/fullconv.json']) {
  if (!existsSync(file)) continue;
  mkdirSync(FOLDER, { recursive: true });
  copyFileSync(file, join(FOLDER, basename(file)));
}
