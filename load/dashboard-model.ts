/** What is read of a Grafana dashboard. Source: Grafana, "JSON model". */

export interface Dashboard {
  readonly title: string;
  readonly schemaVersion: number;
  readonly templating: { readonly list: readonly { readonly name: string }[] };
  readonly panels: readonly Panel[];
}

export interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly Target[];
  readonly fieldConfig?: { readonly defaults: { readonly unit?: string } };
}

export interface Target {
  readonly expr: string;
  readonly legendFormat: string;
}

/** An expression as Prometheus takes it: every variable stands for all there is. */
export function plainExpression(expr: string): string {
  return expr.replaceAll('$__rate_interval', '1m').replace(/\$(job|instance|model)\b/g, '.*');
}
