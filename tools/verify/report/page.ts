// The report as one HTML page for people: what is wrong comes first. It loads nothing and runs nothing, and reads well without its styles.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Result } from "../judge.ts";
import type { Report } from "../run.ts";
import { placeOf, type Served } from "../served.ts";
import { byHop, counted, type Occasion, tally } from "./findings.ts";
import { graph } from "./graph.ts";
import { Markup, markup, nothing } from "./markup.ts";
import { day, instant, timeLeft } from "./time.ts";
import { admitted, type Trust, trustOf } from "./trust.ts";
import { badge, summary, symbols } from "./verdicts.ts";

const styles = readFileSync(join(import.meta.dirname, "page.css"), "utf8");
const digest = createHash("sha256").update(styles).digest("base64");

/** The whole file. */
export function page(findings: Report, occasion: Occasion): string {
  const { checks, served, body } = findings;
  const { outputs, start, stack } = occasion;
  const trust = trustOf(findings, outputs);
  const verdicts = tally([...checks.map(({ verdict }) => verdict), ...served.map(({ verdict }) => verdict)]);
  const mood = verdicts.wrong === 0 ? "right" : "wrong";
  const headline = verdicts.wrong === 0 ? "All right" : `${verdicts.wrong} wrong`;
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'sha256-${digest}'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${headline}: ${stack ?? outputs.namespace}, ${day(start)}</title>
<link rel="icon" href="data:,">
<style>${new Markup(styles)}</style>
</head>
<body>
<header class="${mood}">
<p class="kind">mtls-everywhere, verify</p>
<h1><span class="mark" aria-hidden="true">${symbols[mood]}</span> ${headline}</h1>
<p class="counts">${counted(checks.length - verdicts["not checked"], "check")}, ${counted(served.length, "served certificate")}: ${summary(verdicts)}</p>
${facts(occasion)}
</header>
<nav aria-label="On this page"><ul>
${mood === "right" ? nothing : markup`<li><a href="#wrong">What is wrong</a></li>`}
<li><a href="#trust">Who trusts whom</a></li>
<li><a href="#checks">What was tried</a></li>
<li><a href="#served">What is served</a></li>
<li><a href="#answer">The gateway's answer</a></li>
</ul></nav>
<main>
${mood === "right" ? nothing : section("wrong", "What is wrong", markup`<ol class="wrongs">${wrongOnes(findings)}</ol>`)}
${section("trust", "Who trusts whom", trusted(trust, occasion))}
${section("checks", "What was tried", tried(checks))}
${section("served", "What is served", certificates(served, start))}
${section("answer", "The gateway's answer", answer(body, outputs.gateway.url))}
</main>
</body>
</html>
`.toString();
}

function section(id: string, title: string, content: Markup): Markup {
  return markup`<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${title}</h2>
${content}
</section>`;
}

/** When, and on what. */
function facts({ stack, outputs, start, ms }: Occasion): Markup {
  const rows: readonly (readonly [name: string, value: string])[] = [
    ...(stack === undefined ? [] : ([["Stack", stack]] as const)),
    ["Gateway", outputs.gateway.url],
    ["Clients", admitted(outputs)],
    ["Checked", `${instant(start)}, in ${(ms / 1000).toFixed(1)} s`],
    ["Namespace", outputs.namespace],
    ["Trust domain", outputs.trustDomain],
    ["Cluster", outputs.admin.cluster],
  ];
  return markup`<dl class="facts">${rows.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** Every wrong check and certificate, in full; checks of a hop that saw the same are one item. */
function wrongOnes({ checks, served }: Report): readonly Markup[] {
  const wrong = checks.filter((check) => check.verdict === "wrong");
  const alike = Map.groupBy(wrong, ({ hop, observed }) => JSON.stringify([hop, observed]));
  return [
    ...[...alike.values()].map(wrongCases),
    ...served
      .filter(({ verdict }) => verdict === "wrong")
      .map(
        ({
          pod,
          remark,
          ...one
        }) => markup`<li><h3>${placeOf(one)}${pod === "" ? "" : `, ${pod}`}: served certificate</h3>
<p>${remark}</p></li>`,
      ),
  ];
}

function wrongCases([first, ...others]: readonly Result[]): Markup {
  if (first === undefined) return nothing;
  const alone = others.length === 0;
  const each = [first, ...others].map(
    (check) => markup`<li>${check.case}${threat(check)}: expected ${check.expected}</li>`,
  );
  return markup`<li><h3>${first.hop}: ${alone ? markup`${first.case}${threat(first)}` : `${each.length} cases`}</h3>
<dl>${alone ? markup`<div><dt>Expected</dt><dd>${first.expected}</dd></div>` : markup`<div><dt>Cases</dt><dd><ul>${each}</ul></dd></div>`}
<div><dt>Observed</dt><dd>${first.observed}</dd></div></dl></li>`;
}

function threat({ threat }: Result): Markup {
  return threat === undefined ? nothing : markup` <span class="threat">${threat}</span>`;
}

function trusted(trust: Trust, { outputs, start }: Occasion): Markup {
  const rows = Object.values(trust).map(
    ({ plane, client, server, issuer, roots, served }) => markup`<tr><th scope="row">${plane}</th>
<td>${client} → ${server}</td>
<td>${issuer}</td>
<td><ul>${roots.map(
      ({ name, signs, end }) =>
        markup`<li>${name}${signs ? markup` <strong>signs</strong>` : nothing}: ends ${day(end)}, ${timeLeft(end, start)}</li>`,
    )}</ul></td>
<td>${served.end === undefined ? "nothing" : `${served.signers}, ${timeLeft(served.end, start)}`}</td></tr>`,
  );
  const foreign =
    outputs.gateway.roots === undefined
      ? ""
      : " The gateway's own certificate is another issuer's, as its root below says.";
  return markup`<p>Each plane has roots of its own. Both ends of a hop present a leaf of its plane, and verify the other's against these roots.${foreign}</p>
${scroll("The trust graph", graph(trust, outputs, start))}
${table("The same as a table", ["Plane", "Client → server", "Issuer", "Trusted roots", "Served leaf"], rows)}`;
}

/** First the cases that several hops have in common, side by side; then everything in full, hop by hop. */
function tried(checks: readonly Result[]): Markup {
  const hops = byHop(checks);
  const withThreats = checks.some((check) => check.threat !== undefined);
  const heads = ["Verdict", "Case", ...(withThreats ? ["Threat"] : []), "Expected", "Observed", "ms"];
  const row = (check: Result) => markup`${opening(check.verdict)}<td>${badge(check.verdict)}</td>
<th scope="row">${check.case}</th>
${withThreats ? markup`<td>${check.threat ?? ""}</td>` : nothing}
<td>${check.expected}</td><td>${check.verdict === "not checked" ? (check.why ?? "") : check.observed}</td><td class="number">${check.ms}</td></tr>`;
  return markup`${matrix(hops)}
${[...hops].map(
  ([hop, own]) => markup`<div class="hop">
<h3>${hop} ${summary(tally(own.map(({ verdict }) => verdict)))}</h3>
${table(`Checks of ${hop}`, heads, own.map(row))}
</div>`,
)}`;
}

/** A row per case that several hops have, a column per hop. */
function matrix(hops: ReadonlyMap<string, readonly Result[]>): Markup {
  const cases = [...Map.groupBy([...hops.values()].flat(), (check) => check.case)];
  const shared = cases.filter(([, checks]) => byHop(checks).size > 1);
  if (shared.length === 0) return nothing;
  const columns = [...hops.keys()].filter((hop) => shared.some(([, checks]) => byHop(checks).has(hop)));
  const rows = shared.map(
    ([name, checks]) => markup`<tr><th scope="row">${name}</th>
${columns.map((hop) => cell(byHop(checks).get(hop) ?? []))}</tr>`,
  );
  return markup`<h3>Every case at every hop</h3>
<div class="matrix">${table("Cases by hop", ["Case", ...columns], rows)}</div>`;
}

function cell(checks: readonly Result[]): Markup {
  const worst = checks.find((check) => check.verdict === "wrong") ?? checks[0];
  if (worst === undefined) return markup`<td></td>`;
  const verdict = worst.verdict;
  const seen = verdict === "not checked" ? nothing : markup` <span class="seen">${brief(worst.observed)}</span>`;
  return markup`<td${verdict === "wrong" ? markup` class="wrong"` : nothing}>${badge(verdict)}${seen}</td>`;
}

/** An alert's name alone: the word and its number are in the hop's own table. */
function brief(observed: string): string {
  return observed.replace(/^alert (\w+) \(\d+\)$/, "$1");
}

function opening(verdict: string): Markup {
  return verdict === "wrong" ? markup`<tr class="wrong">` : markup`<tr>`;
}

function certificates(served: readonly Served[], now: Date): Markup {
  const rows = served.map(
    ({
      pod,
      serial,
      root,
      generation = "",
      notAfter,
      verdict,
      remark,
      ...one
    }) => markup`${opening(verdict)}<td>${badge(verdict)}</td>
<th scope="row">${placeOf(one)}</th><td>${pod}</td>
<td>${notAfter === "" ? "" : markup`<strong>${timeLeft(new Date(notAfter), now)}</strong><br>${instant(new Date(notAfter))}`}</td>
<td>${generation}</td><td>${root}</td><td class="serial">${serial}</td><td>${remark}</td></tr>`,
  );
  return table(
    "Served certificates",
    ["Verdict", "Hop", "Pod", "Ends", "Generation", "Root", "Serial number", "Remark"],
    rows,
  );
}

function answer(body: string, url: string): Markup {
  return markup`<p>GET <code>${url}</code> with the edge client certificate:</p>
${body.trim() === "" ? markup`<p>${badge("wrong")} no answer</p>` : markup`<pre tabindex="0">${body.trimEnd()}</pre>`}`;
}

function table(caption: string, heads: readonly string[], rows: readonly Markup[]): Markup {
  return scroll(
    caption,
    markup`<table><caption>${caption}</caption>
<thead><tr>${heads.map((head) => markup`<th scope="col">${head}</th>`)}</tr></thead>
<tbody>
${rows}
</tbody></table>`,
  );
}

/** What may be wider than a small screen; reachable by keyboard, so that it can be scrolled. */
function scroll(label: string, content: Markup): Markup {
  return markup`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${content}</div>`;
}
