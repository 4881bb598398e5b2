/** What a soak has shown, compared with its limits, as a table. */
import { knowsCertificateCache } from "../../components/nginxServer.ts";
import { nginxImage } from "../images.ts";
import { limits, phases } from "./forms.ts";
import type { Passage } from "./passage.ts";
import { isRefusal } from "./refusals.ts";
import type { Renewal } from "./rounds.ts";
import { hops, type Hop } from "./scene.ts";
import type { Placed, PlatformResult, SoakResult } from "./soak.ts";
import { spreadOf, type Numbers } from "./tally.ts";

/** One requirement. */
export interface Verdict {
  /** The platform that it was observed on; empty if none. */
  readonly platform: string;
  readonly what: string;
  readonly seen: string;
  /** As text, such as `p95 at most 3 s`. */
  readonly wanted: string;
  readonly ok: boolean;
  /** It holds except for a time limit, which a busy machine cannot keep. */
  readonly slow?: boolean;
  /** What went wrong, the first few. */
  readonly why: readonly string[];
}

const most = 5;

export function verdictsOf(result: SoakResult): Verdict[] {
  const handshakes = result.handshakes ? [{ platform: "", ...ofHandshakes(result.handshakes) }] : [];
  return [...result.platforms.flatMap(ofPlatform), ...handshakes];
}

type Found = Omit<Verdict, "platform">;

function ofPlatform(platform: PlatformResult): Verdict[] {
  return [
    ...ofTraffic(platform),
    ...ofRenewals(platform),
    none("processes and restart counts through the leaves' renewals", "changed", platform.unsettled),
    ...platform.passages.flatMap((passage) => ofPassage(passage)),
    ...ofDailyUse(platform),
    ...ofRenewer(platform),
  ].map((verdict) => ({ platform: platform.name, ...verdict }));
}

function ofTraffic({ form, arrivals, kept, writes }: PlatformResult): Found[] {
  const { ends } = kept;
  const slowest = writes.took.max;
  const inTime = form.members > 1 || slowest <= limits.write;
  const writing = traffic("writes through the Admin API, each read back", writes);
  return [
    {
      ...traffic("new connections through the gateway", arrivals),
      seen: `${counts(arrivals)}; ${arrivals.perSecond.toFixed(1)}/s started, up to ${duration(arrivals.late.max)} late; p95 ${duration(arrivals.answered.p95)}`,
    },
    {
      ...traffic("kept-alive connections through the gateway", kept),
      seen: `${counts(kept)}; ${kept.opened} opened, ended: ${ends.bound} by the bound, ${ends.left} with their pod, ${ends.early} early`,
    },
    {
      ...writing,
      seen: `${counts(writes)}; ${writes.retries} retries, slowest ${duration(slowest)}`,
      wanted: form.members > 1 ? "0 failed" : `0 failed, each within ${limits.write} s`,
      ok: writing.ok && inTime,
      slow: writing.ok && !inTime,
    },
  ];
}

function ofRenewals(platform: PlatformResult): Found[] {
  const rounds = [...platform.rounds, ...(platform.steady?.rounds ?? [])];
  const renewals = rounds.flatMap((round) => round.renewals);
  const limitOf = (hop: Hop) => (hop === "gateway" ? limits.renewer : limits.files(platform.kubeletSync));
  return [
    none(
      `leaves reissued, ${rounds.length} times each`,
      "not issued",
      rounds.flatMap((round) => round.unissued),
    ),
    ...hops.map((hop) =>
      ofHop(
        hop,
        renewals.filter((renewal) => renewal.hop === hop),
        limitOf(hop),
      ),
    ),
  ];
}

function ofHop(hop: Hop, renewals: readonly Renewal[], limit: number): Found {
  const served = renewals.flatMap(({ seconds }) => (seconds === undefined ? [] : [seconds]));
  const missing = renewals.length - served.length;
  const { median, p95, max } = spreadOf(served);
  const spread = `median ${duration(median)}, p95 ${duration(p95)}, max ${duration(max)}`;
  return {
    what: `from Secret to served, ${hop}`,
    seen: `${served.length} of ${renewals.length} served${served.length > 0 ? `: ${spread}` : ""}`,
    wanted: `all, p95 at most ${limit} s`,
    ok: renewals.length > 0 && missing === 0 && p95 <= limit,
    slow: renewals.length > 0 && missing === 0 && p95 > limit,
    why: [],
  };
}

function ofPassage({ name, phases: done, withdrawn }: Passage): Found[] {
  const problems = done.flatMap(({ phase, outcome, stale, verified }) => [
    ...(outcome.problem ? [`${phase}: pulumi up ${outcome.problem}`] : []),
    ...stale.map((listener) => `${phase}: ${listener} does not serve its Secret's leaf`),
    ...(verified?.problem ? [`${phase}: verify ${verified.problem}`] : []),
  ]);
  const took = done.map(({ phase, outcome }) => `${phase} ${duration(outcome.seconds)}`).join(", ");
  const passed: Found = {
    what: `rotation of the roots, ${name}`,
    seen: took,
    wanted: phases.join(", "),
    ok: problems.length === 0 && withdrawn !== undefined,
    why: problems,
  };
  if (withdrawn === undefined) return [passed];
  const bound = limits.connection.age + limits.connection.idle;
  const said = Object.entries(withdrawn.said);
  const accepted = said.filter(([, words]) => !isRefusal(words)).map(([what, words]) => `${what}: ${words}`);
  return [
    passed,
    {
      what: `connections under the old roots, ${name}`,
      seen: `last answer ${withdrawn.lastAnswer.toFixed(1)} s after the retirement, ${withdrawn.open} open`,
      wanted: `none answers after ${bound} s`,
      ok: withdrawn.open === 0 && withdrawn.lastAnswer <= bound,
      why: [],
    },
    {
      what: `certificates and sessions of the old roots, ${name}`,
      seen: `${said.length - accepted.length} of ${said.length} refused`,
      wanted: "all refused",
      ok: said.length > 0 && accepted.length === 0,
      why: accepted,
    },
  ];
}

function ofDailyUse({ steady }: PlatformResult): Found[] {
  if (steady === undefined) return [];
  return Object.entries(steady.commands).map(([command, { runs, problems }]) => ({
    what: `${command} while every leaf renews, in ${Math.round(steady.seconds / 60)} minutes`,
    seen: `${runs - problems.length} of ${runs} right`,
    wanted: "all right",
    ok: problems.length === 0,
    why: problems,
  }));
}

function ofRenewer({ renewers }: PlatformResult): Found[] {
  if (renewers.length === 0) return [];
  const [memory, cpu] = [
    Math.max(...renewers.map((one) => one.workingSet)),
    Math.max(...renewers.map((one) => one.cpu)),
  ];
  return [
    {
      what: "renewer while nothing is renewed",
      seen: `working set ${memory.toFixed(0)} MiB, ${(cpu * 100).toFixed(2)} % of a CPU`,
      wanted: `under ${limits.renewerMemory} MiB, under ${limits.renewerCpu * 100} %`,
      ok: memory < limits.renewerMemory && cpu < limits.renewerCpu,
      slow: memory < limits.renewerMemory && cpu >= limits.renewerCpu,
      why: [],
    },
  ];
}

function ofHandshakes({ live, fixed, ratio }: NonNullable<SoakResult["handshakes"]>): Found {
  const cached = knowsCertificateCache(nginxImage);
  const list = (rates: readonly number[]) => rates.map((rate) => rate.toFixed(0)).join(" ");
  return {
    what: "nginx's handshakes with live leaves, relative to fixed ones",
    seen: `${ratio.toFixed(2)} (per second of nginx's CPU time: ${list(live)} and ${list(fixed)})`,
    // Without the cache nginx decodes the leaf at every handshake, which halves their rate with OpenSSL 3.0: docs/decisions.md.
    wanted: cached ? `at least ${limits.handshakes}` : `not judged: ${nginxImage} has no ssl_certificate_cache`,
    ok: ratio >= limits.handshakes || !cached,
    why: [],
  };
}

function traffic(what: string, numbers: Placed<Numbers>): Found {
  const reasons = Object.entries(numbers.reasons).map(([reason, count]) => `${count} times: ${reason}`);
  const first = numbers.first.map(({ step, reason }) => `in "${step}": ${reason}`);
  return {
    what,
    seen: counts(numbers),
    wanted: "0 failed",
    ok: numbers.failed === 0 && numbers.done > 0,
    why: [...reasons.slice(0, most), ...first],
  };
}

const counts = ({ done, failed }: Placed<Numbers>) => `${done} done, ${failed} failed`;

function none(what: string, found: string, list: readonly string[]): Found {
  return {
    what,
    seen: `${list.length} ${found}`,
    wanted: `none ${found}`,
    ok: list.length === 0,
    why: list.slice(0, most),
  };
}

const duration = (seconds: number) => (seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`);

/** A table per platform with what went wrong below it, and the verdict. */
export function render(result: SoakResult): string {
  const verdicts = verdictsOf(result);
  const cells = ({ ok, slow, what, seen, wanted }: Verdict) => [
    ok ? "ok" : slow ? "SLOW" : "WRONG",
    what,
    seen,
    wanted,
  ];
  const rows = [["", "WHAT", "SEEN", "WANTED"], ...verdicts.map(cells)];
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => row[column]!.length)) + 2);
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("")
      .trimEnd();
  const blocks = [...new Set(verdicts.map(({ platform }) => platform))].map((platform) => {
    const own = verdicts.filter((verdict) => verdict.platform === platform);
    const why = own.filter(({ ok }) => !ok).flatMap(({ what, why }) => why.map((reason) => `  ${what}: ${reason}`));
    return [...(platform ? [platform] : []), ...own.map((verdict) => line(cells(verdict))), ...why, ""];
  });
  const right = verdicts.filter(({ ok }) => ok).length;
  const syncs = [...new Set(result.platforms.map(({ kubeletSync }) => `${kubeletSync} s`))].join(", ");
  const form = `${result.form} form, ${result.minutes.toFixed(1)} minutes, kubelet's sync ${syncs}`;
  return [line(rows[0]!), "", ...blocks.flat(), `${right} of ${verdicts.length} right; ${form}`, ""].join("\n");
}
