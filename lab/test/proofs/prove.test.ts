// The runner of proofs: which results are kept, what is retried, what is drawn, and how it words what an `up` did.

import { deepStrictEqual as same, rejects } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { draws, Kept, prove, type Proving } from "../../proofs/prove.ts";
import type { Row, RunningPlatform } from "../../proofs/row.ts";
import { changesIn } from "../../proofs/up.ts";

describe("a table of proofs", () => {
  let folder: string;
  let done: string[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "proofs-"));
    done = [];
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const row = (name: string, wrong?: string): Row => ({
    name,
    act: async () => void done.push(name),
    expect: async () => {
      if (wrong !== undefined) throw new Error(wrong);
      return { changes: [`makes ${name}`, "updates other"], seconds: 1 };
    },
  });
  const proving = (signal?: AbortSignal): Proving => ({
    platform: {} as RunningPlatform,
    progress: () => {},
    heal: async () => void done.push("heal"),
    ...(signal && { signal }),
  });
  const right = (name: string) => ({ name, seen: `makes ${name}; updates other`, right: true, seconds: 1 });

  it("keeps what was right, retries what was wrong, and heals the platform after it", async () => {
    const kept = new Kept(join(folder, "below/results.jsonl"));
    const first = await prove([row("a"), row("b", "it broke"), row("c")], kept, proving());
    same(first, [right("a"), { name: "b", seen: "it broke", right: false, seconds: 0 }, right("c")]);
    same(done, ["a", "b", "heal", "c"]);
    same(await prove([row("a"), row("b"), row("c"), row("new")], kept, proving()), ["a", "b", "c", "new"].map(right));
    same(done.slice(4), ["b", "new"]);
    same(await prove([row("a", "worse")], kept, proving(), true), [
      { name: "a", seen: "worse", right: false, seconds: 0 },
    ]);
  });

  it("proves rows together that change nothing else, and each alone if that was wrong", async () => {
    const kept = new Kept(join(folder, "results.jsonl"));
    const alone = (name: string) => ({ ...row(name), own: name });
    const made = (name: string) => ({ name, seen: `makes ${name}`, right: true, seconds: 1 });
    const changes = ["makes a", "makes b", "updates other"];
    const both = [{ ...alone("a"), expect: async () => ({ changes, seconds: 1 }) }, alone("b"), row("c")];
    same(await prove(both, kept, proving()), [made("a"), made("b"), right("c")]);
    done = [];
    const [a, b] = [alone("a"), { ...alone("b"), ...row("b", "it broke") }];
    const looked: Row[] = [row("a", "one of them"), a];
    const results = await prove([{ ...a, expect: (on) => looked.shift()!.expect(on) }, b], kept, proving(), true);
    same(results, [right("a"), { name: "b", seen: "it broke", right: false, seconds: 0 }]);
    same(done, ["a", "b", "heal", "a", "b", "heal"]);
  });

  it("resumes where it was interrupted: the row in progress has no result", async () => {
    const kept = new Kept(join(folder, "results.jsonl"));
    const interrupt = new AbortController();
    const interrupted: Row = {
      ...row("b"),
      expect: async () => {
        interrupt.abort(new Error("interrupted"));
        throw new Error("killed");
      },
    };
    await rejects(prove([row("a"), interrupted], kept, proving(interrupt.signal)), { message: "interrupted" });
    same([...(await kept.read()).keys()], ["a"]);
  });

  it("counts many changes", async () => {
    const changes = ["a", "b", "c", "d"].map((name) => `makes ${name}`);
    const many = { ...row("many"), expect: async () => ({ changes, seconds: 1 }) };
    const [result] = await prove([many], new Kept(join(folder, "results.jsonl")), proving());
    same(result?.seen, "makes 4 objects");
  });

  it("draws the same rows for the same seed", () => {
    const rows = Array.from({ length: 80 }, (_, index) => row(String(index)));
    const names = (seed: number) => draws(rows, 10, seed).map(({ name }) => name);
    same(names(7), names(7));
    same(names(7).length, 10);
    same(names(7).join() === names(8).join(), false);
  });

  it("says what an update did, and ignores its preview", () => {
    const output = `Previewing update (dev):
 +  kubernetes:core/v1:Secret apisix-env create
Resources:
    + 1 to create

Updating (dev):
 +  kubernetes:core/v1:Secret apisix-env creating (0s)
 +  kubernetes:core/v1:Secret apisix-env created (0.15s)
 ~  pulumi-nodejs:dynamic/mtls:ApisixSsl site updated (0.3s)
 ~  pulumi-nodejs:dynamic/mtls:ApisixSsl other updated (0.3s)
    pulumi:pulumi:Stack mtls-everywhere-dev running
Resources:
    + 1 created
`;
    same(changesIn(output), ["makes Secret apisix-env", "updates ApisixSsl other", "updates ApisixSsl site"]);
    same(changesIn("Updating (dev):\n\nResources:\n    98 unchanged\n"), []);
  });
});
