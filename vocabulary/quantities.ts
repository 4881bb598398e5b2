// How the configuration and Kubernetes write amounts of storage.

const units: Readonly<Record<string, number>> = { Mi: 1, Gi: 1024, Ti: 1024 ** 2 };

/** Mebibytes of a quantity such as `1Gi`. */
export function mebibytes(quantity: string): number {
  return Number.parseInt(quantity, 10) * units[quantity.slice(-2)]!;
}
