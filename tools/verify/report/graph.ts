// The trust graph as a drawing: a band per plane, with its roots, and both ends of its hop inside. A server that is in several planes
// crosses their bands.

import type { Plane } from "@mtls-everywhere/vocabulary/planes";

import type { PlatformOutputs } from "../../../outputs.ts";
import type { Tally } from "./findings.ts";
import { type Markup, markup } from "./markup.ts";
import { day, timeLeft } from "./time.ts";
import { admitted, type PlaneTrust, type Trust } from "./trust.ts";
import { symbols } from "./verdicts.ts";

/** Columns, in the drawing's own units: about pixels. */
const width = 1080;
const box = 132;
const left = 322;
const middle = 612;
const right = 918;

/** A band: where it is, and how high. */
interface Band {
  readonly top: number;
  readonly height: number;
  readonly centre: number;
}

/** Between bands, and around a box that fills some. */
const gap = 8;
const margin = 10;

/** The drawing; a page's style sheet says what its classes look like. */
export function graph(trust: Trust, outputs: PlatformOutputs, now: Date): Markup {
  const { edge, upstream, admin, etcd, "etcd-peer": peer, height } = bandsOf(trust);
  const inMiddle = (at: Band, text: string) => line(middle + box / 2, at.centre + 5, text, "soft", "middle");
  return markup`<svg class="graph" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="graph-title graph-description" font-family="sans-serif" font-size="13">
<title id="graph-title">Who trusts whom, by plane</title>
<desc id="graph-description">${Object.values(trust)
    .map((plane) => sentence(plane, now))
    .join(" ")}</desc>
<defs>${head("right")}${head("wrong")}</defs>
${band(trust.edge, edge, now)}
${band(trust.upstream, upstream, now)}
${band(trust.admin, admin, now)}
${band(trust.etcd, etcd, now)}
${band(trust["etcd-peer"], peer, now)}
${party(left, edge, edge, "Clients", admitted(outputs))}
${party(left, admin, admin, "pulumi up", "leaf and Admin key")}
${party(middle, edge, etcd, "APISIX gateway", "")}
${inMiddle(edge, `serves port ${outputs.gateway.port}`)}
${inMiddle(upstream, `calls as ${outputs.caller.identity.serviceAccount}`)}
${inMiddle(admin, `serves port ${outputs.admin.port}`)}
${inMiddle(etcd, `calls as ${outputs.store.user}`)}
${party(right, upstream, upstream, "Upstream", outputs.upstream.serverName)}
${party(right, etcd, peer, "etcd", outputs.store.serverName)}
${hop(trust.edge, edge.centre, left + box, middle, now)}
${hop(trust.upstream, upstream.centre, middle + box, right, now)}
${hop(trust.admin, admin.centre, left + box, middle, now)}
${hop(trust.etcd, etcd.centre, middle + box, right, now)}
${loop(trust["etcd-peer"], peer.centre, now)}
</svg>`;
}

function bandsOf(trust: Trust): Record<Plane, Band> & { readonly height: number } {
  let height = -gap;
  const next = ({ roots }: PlaneTrust): Band => {
    const own = Math.max(106, 62 + roots.length * 38);
    const top = height + gap;
    height = top + own;
    return { top, height: own, centre: top + own / 2 };
  };
  const bands = {
    edge: next(trust.edge),
    upstream: next(trust.upstream),
    admin: next(trust.admin),
    etcd: next(trust.etcd),
    "etcd-peer": next(trust["etcd-peer"]),
  };
  return { ...bands, height };
}

/** The plane's name and roots, at the band's left end. */
function band({ plane, issuer, roots }: PlaneTrust, { top, height }: Band, now: Date): Markup {
  const rows = roots.map(({ name, signs, end }, at) => {
    const y = top + 66 + at * 38;
    const role = signs ? "signs, trusted" : "trusted";
    return markup`<circle class="root${signs ? " signs" : ""}" cx="30" cy="${y - 4}" r="5" fill="none" stroke="gray"/>
${line(44, y, `${shortened(name, 24)}: ${role}`, "")}
${line(44, y + 17, `root ends ${day(end)}, ${timeLeft(end, now)}`, "soft")}`;
  });
  return markup`<rect class="band ${plane}" x="0" y="${top}" width="${width}" height="${height}" rx="10" fill="none" stroke="gray"/>
<rect class="stripe ${plane}" x="0" y="${top + 10}" width="5" height="${height - 20}" rx="2.5" fill="none" stroke="gray"/>
${line(22, top + 27, `${plane} plane`, "strong")}
${line(22, top + 45, shortened(issuer, 38), "soft")}
${rows}`;
}

/** Who takes part, as a box over one or more bands. */
function party(x: number, first: Band, last: Band, name: string, remark: string): Markup {
  const alone = first === last;
  const top = alone ? first.centre - 30 : first.top + margin;
  const bottom = alone ? first.centre + 30 : last.top + last.height - margin;
  const y = alone ? first.centre - 3 : first.top + 32;
  const under = remark === "" ? [] : [line(x + box / 2, y + 18, shortened(remark, 22), "soft small", "middle")];
  return markup`<rect class="party" x="${x}" y="${top}" width="${box}" height="${bottom - top}" rx="8" fill="none" stroke="gray"/>
${line(x + box / 2, y, name, "strong", "middle")}
${under}`;
}

/** An arrow from client to server, with what was found above it and what the server serves below. */
function hop(trust: PlaneTrust, y: number, from: number, to: number, now: Date): Markup {
  const centre = (from + to) / 2;
  const mood = moodOf(trust.found);
  return markup`<path class="hop ${mood}" d="M${from + 7} ${y}H${to - 6}" fill="none" stroke="gray" marker-end="url(#head-${mood})"/>
${ends(trust.plane, [from, y], [to, y])}
${line(centre, y - 11, foundText(trust.found), `strong ${mood}`, "middle")}
${servedTexts(trust, now).map((text, at) => line(centre, y + 21 + at * 16, text, "soft small", "middle"))}`;
}

/** The members of etcd call each other. */
function loop(trust: PlaneTrust, y: number, now: Date): Markup {
  const mood = moodOf(trust.found);
  const texts = servedTexts(trust, now);
  return markup`<path class="hop ${mood}" d="M${right - 7} ${y - 20}C${right - 64} ${y - 20} ${right - 64} ${y + 20} ${right - 6} ${y + 20}" fill="none" stroke="gray" marker-end="url(#head-${mood})"/>
${ends(trust.plane, [right, y - 20], [right, y + 20])}
${line(right - 66, y - 11, foundText(trust.found), `strong ${mood}`, "end")}
${texts.map((text, at) => line(right - 66, y + 8 + at * 16, text, "soft small", "end"))}`;
}

/** The leaves at both ends of a hop. */
function ends(plane: string, ...at: readonly (readonly [x: number, y: number])[]): readonly Markup[] {
  return at.map(
    ([x, y]) => markup`<circle class="leaf ${plane}" cx="${x}" cy="${y}" r="6" fill="none" stroke="gray"/>`,
  );
}

function head(mood: Mood): Markup {
  return markup`<marker id="head-${mood}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto"><path class="head ${mood}" d="M0 0 10 5 0 10z"/></marker>`;
}

function line(x: number, y: number, text: string, kind: string, anchor = "start"): Markup {
  return markup`<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${text}</text>`;
}

type Mood = "right" | "wrong";

function moodOf(found: Tally): Mood {
  return found.wrong > 0 ? "wrong" : "right";
}

function foundText(found: Tally): string {
  const all = found.right + found.wrong + found["not checked"];
  if (found.wrong > 0) return `${symbols.wrong} ${found.wrong} of ${all} wrong`;
  if (found.right > 0) return `${symbols.right} ${found.right} right`;
  return `${symbols["not checked"]} not checked`;
}

/** What the server serves, in two short lines. */
function servedTexts({ served: { pods, signers, end } }: PlaneTrust, now: Date): string[] {
  if (end === undefined) return ["no leaf was served"];
  const [leaves, first] = pods === 1 ? ["leaf", ""] : [`${pods} leaves`, "first: "];
  return [shortened(`${leaves}: ${signers}`, 27), `${first}${timeLeft(end, now)}`];
}

/** The same in words, for those who do not see the drawing. */
function sentence({ plane, client, server, roots, served, found }: PlaneTrust, now: Date): string {
  const trusted = roots.map(({ name, signs, end }) => `${name}${signs ? " (signs)" : ""}, which ends ${day(end)}`);
  const leaf =
    served.end === undefined
      ? "No leaf was served."
      : `The ${server} serves a leaf of ${served.signers}, ${timeLeft(served.end, now)}.`;
  return `${plane} plane: ${client} and ${server} verify each other against ${trusted.join(" and ")}. ${leaf} ${foundText(found)}.`;
}

function shortened(text: string, limit: number): string {
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}
