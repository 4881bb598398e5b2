// The dev stack's state as a release left it, for upgrade tests; see test/upgrade/README.md.

import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { gunzipSync } from "node:zlib";

export interface KeptResource {
  readonly urn: string;
  readonly type: string;
  readonly inputs?: Readonly<Record<string, unknown>>;
}

/** The resources in a release's state, such as that of `0.1.0`. */
export function keptState(release: string): readonly KeptResource[] {
  const file = join(resolve(import.meta.dirname, "../upgrade"), `v${release}`, "state.json.gz");
  const { deployment } = JSON.parse(gunzipSync(readFileSync(file)).toString("utf8")) as {
    readonly deployment: { readonly resources: readonly KeptResource[] };
  };
  return deployment.resources;
}
