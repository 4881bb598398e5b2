// How the configuration and cert-manager write lifetimes.

/** Hours of a lifetime such as `24h`. */
export function hours(duration: string): number {
  return Number.parseInt(duration, 10);
}
