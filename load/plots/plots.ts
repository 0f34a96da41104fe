/** The pictures that a report has data for, by name. */
import type { Report } from '../report.js';
import { ballChart } from './ball-chart.js';
import { latencyPlots } from './latency-load.js';

export function plotsOf(report: Report): Map<string, string> {
  const plots = new Map<string, string>();
  const balls = ballChart(report);
  if (balls !== undefined) plots.set('throughput', balls);
  const latencies = latencyPlots(report);
  for (const [index, svg] of latencies.entries()) {
    plots.set(latencies.length === 1 ? 'latency' : `latency-${index + 1}`, svg);
  }
  return plots;
}
