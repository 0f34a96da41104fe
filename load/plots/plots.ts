/** The pictures that a report has data for, by name. */
import type { Report } from '../report.js';
import { ballCharts } from './ball-charts.js';
import { latencyPlots } from './latency-load.js';

export function plotsOf(report: Report): Map<string, string> {
  const plots = ballCharts(report);
  const latencies = latencyPlots(report);
  for (const [index, svg] of latencies.entries()) {
    plots.set(latencies.length === 1 ? 'latency' : `latency-${index + 1}`, svg);
  }
  return plots;
}
