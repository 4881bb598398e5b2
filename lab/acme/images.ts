/** An ACME server and the name server that it asks: images that the lab has only with LAB_ACME=1. */
import type { Archive } from "../images.ts";

export const pebbleImage = "lab.local/pebble:1";
export const knotImage = "lab.local/knot:1";

/** What they are made of: the paths of finished parts. */
export type AcmeSources = Record<"pebble" | "knot", string>;

export function acmeArchives({ pebble, knot }: AcmeSources): Record<string, Archive> {
  return {
    pebble: {
      images: [{ name: pebbleImage, entrypoint: ["/pebble"], user: "65532" }],
      fill: (root) => root.program(pebble, "/pebble"),
    },
    knot: {
      images: [{ name: knotImage, entrypoint: ["/usr/sbin/knotd"], user: "65532" }],
      fill: (root) => root.dynamic(knot, "usr/sbin/knotd"),
    },
  };
}
