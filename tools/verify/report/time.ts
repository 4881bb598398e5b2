// Instants and spans as people read them, in UTC.

/** `2026-11-26 13:00 UTC` */
export function instant(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

/** `2026-11-26` */
export function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}

/** `23 hours left`, or `expired 2 days ago` */
export function timeLeft(end: Date, now: Date): string {
  const ms = end.getTime() - now.getTime();
  return ms > 0 ? `${span(ms)} left` : `expired ${span(-ms)} ago`;
}

const units = [
  ["years", 365 * 24 * 3_600_000],
  ["days", 24 * 3_600_000],
  ["hours", 3_600_000],
  ["minutes", 60_000],
] as const;

/** In the largest unit that there are two of, rounded down. */
function span(ms: number): string {
  const fit = units.find(([, length]) => ms >= 2 * length);
  if (fit === undefined) return `${Math.floor(ms / 1000)} seconds`;
  const [unit, length] = fit;
  return `${Math.floor(ms / length)} ${unit}`;
}
