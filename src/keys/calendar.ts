/** Days and moments of the calendar, by the clock of the wall: keys are made and end at dates that people write. */

/** Now, as ISO 8601 has it, in UTC. */
export function today(): string {
  return new Date().toISOString();
}

/** Whether a moment, in ISO 8601, is over. */
export function isOver(moment: string): boolean {
  return Date.parse(moment) <= Date.now();
}

/** A day, which then is its first moment in UTC, or a moment with its zone: as ISO 8601 has it, in UTC. Undefined for other texts. */
export function parseMoment(text: string): string | undefined {
  if (!/^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(text)) return undefined;
  const moment = new Date(text);
  return Number.isNaN(moment.getTime()) ? undefined : moment.toISOString();
}
