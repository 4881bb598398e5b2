/** `pulumi up` after something was done to a platform, and what it changed. */
import { errorsOf } from "../soak/platform.ts";
import { type RunningPlatform, type Seen, verified } from "./row.ts";

/** A single run repairs everything: it succeeds, and every hop is right afterwards. */
export async function repaired(platform: RunningPlatform): Promise<Seen> {
  const seen = await updated(platform, "--refresh");
  await verified(platform);
  return seen;
}

/** Runs an `up` that must succeed. */
export async function updated(platform: RunningPlatform, ...flags: string[]): Promise<Seen> {
  const start = performance.now();
  const command = ["up", ...flags, "--yes", "--non-interactive"];
  const { code, stdout, output } = await platform.run("pulumi", command);
  if (code !== 0) throw new Error(`pulumi ${command.join(" ")} ended with ${code}: ${errorsOf(output)}`);
  return { changes: changesIn(stdout), seconds: (performance.now() - start) / 1000 };
}

/** How the CLI reports what it did to a resource: ` +  kubernetes:core/v1:Secret apisix-env created (0.15s)`. */
const line = /^\s*(?:\+|~|\+-|\+\+|-)\s+(?:\S+:)?(\w+)\s+(\S+)\s+(created|updated|replaced|deleted)\b/;

const words = { created: "makes", updated: "updates", replaced: "replaces", deleted: "deletes" } as const;

/** What an `up` did, from its output after the preview, such as `makes Secret apisix-env`; each once, sorted. */
export function changesIn(stdout: string): string[] {
  const [, update = ""] = stdout.split(/^Updating \(/m);
  const done = update.split("\n").flatMap((text) => {
    const [, type, name, what] = line.exec(text) ?? [];
    return what === undefined ? [] : [`${words[what as keyof typeof words]} ${type} ${name}`];
  });
  return [...new Set(done)].sort();
}
