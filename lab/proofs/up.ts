/** `pulumi up --refresh` after something was done to a platform, and what it did, in words. */
import { errorsOf } from "../soak/platform.ts";
import { type RunningPlatform, type Seen, verified } from "./row.ts";

/** The first call repairs everything: it ends well, and every hop is right afterwards. */
export async function repaired(platform: RunningPlatform): Promise<Seen> {
  const start = performance.now();
  const { code, stdout, output } = await platform.run("pulumi", ["up", "--refresh", "--yes", "--non-interactive"]);
  const seconds = (performance.now() - start) / 1000;
  if (code !== 0) throw new Error(`pulumi up --refresh ended with ${code}: ${errorsOf(output)}`);
  await verified(platform);
  return { words: changesIn(stdout), seconds };
}

/** How the CLI says what it did to a resource: ` +  kubernetes:core/v1:Secret apisix-env created (0.15s)`. */
const line = /^\s*(?:\+|~|\+-|\+\+|-)\s+(?:\S+:)?(\w+)\s+(\S+)\s+(created|updated|replaced|deleted)\b/;

const words = { created: "makes", updated: "updates", replaced: "replaces", deleted: "deletes" } as const;
type Done = keyof typeof words;

/** What an `up` did by what it printed, after its preview. */
export function changesIn(stdout: string): string {
  const [, update = ""] = stdout.split(/^Updating \(/m);
  const done = new Map<Done, string[]>();
  for (const [, type, name, what] of update.split("\n").flatMap((text) => [line.exec(text) ?? []])) {
    if (what !== undefined) done.set(what as Done, [...(done.get(what as Done) ?? []), `${type} ${name}`]);
  }
  const said = [...done].map(([what, names]) => {
    const all = [...new Set(names)].sort();
    return `${words[what]} ${all.length > 3 ? `${all.length} objects` : all.join(", ")}`;
  });
  return said.length === 0 ? "nothing" : said.join("; ");
}
