// The report as a page: what it contains. browser.test.ts shows what a person sees of it.

import { deepStrictEqual as same, equal, ok } from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import type { Occasion } from "../../../../tools/verify/report/findings.ts";
import { page } from "../../../../tools/verify/report/page.ts";
import { few, hostile, many, occasion } from "../../../support/findings.ts";

const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map(([, found = ""]) => found);

describe("the report as a page", () => {
  it("says in its title and heading how it went, where and when", async () => {
    const heads = (html: string) => all(html, /<(?:title|h2 [^>]*)>([^<]*)/g);
    const right = { ...few, checks: few.checks.slice(0, 1), served: few.served.slice(0, 1) };
    const sections = ["Who trusts whom", "What was tried", "What is served", "The gateway&#39;s answer"];
    same(
      [heads(page(few, await occasion())), heads(page(right, { ...(await occasion()), stack: undefined }))],
      [
        ["2 wrong: dev, 2026-11-26", "What is wrong", ...sections],
        ["All right: mtls, 2026-11-26", ...sections],
      ],
    );
  });

  it("counts only what was checked", async () => {
    const [counts = ""] = all(page(few, await occasion()), /<p class="counts">([\s\S]*?)<\/p>/g);
    equal(
      counts.replaceAll(/<[^>]+>/g, "").replaceAll(/\s+/g, " "),
      "2 checks, 3 served certificates: ✗ 2 wrong ! 1 warning – 1 not checked ✓ 2 right",
    );
  });

  it("lists what is wrong first, in full", async () => {
    const [list = ""] = all(page(few, await occasion()), /<ol class="wrongs">([\s\S]*?)<\/ol>/g);
    same(list.replaceAll(/<[^>]+>/g, " ").split(/\s{2,}/), [
      "",
      "gateway: no certificate",
      "T1",
      "Expected",
      "alert certificate_required (116)",
      "Observed",
      "200",
      "etcd: served certificate",
      "No ready pod.",
      "",
    ]);
  });

  it("gathers what a hop observed alike", async () => {
    const checks = many.checks.map((check) =>
      check.verdict === "not checked"
        ? check
        : { ...check, observed: "failed: no ready pod", verdict: "wrong" as const, ok: false },
    );
    const html = page({ ...many, checks }, await occasion());
    same(
      [all(html, /<h3>([\w ]+: \d+ cases)<\/h3>/g), all(html, /<li>([^<]*<span class="threat">)/g).length],
      [
        [
          "gateway: 30 cases",
          "Admin API: 30 cases",
          "etcd: 15 cases",
          "etcd peers: 15 cases",
          "upstream: 15 cases",
          "gateway to upstream: 15 cases",
        ],
        120,
      ],
    );
  });

  it("has a row for each check, by hop, with its verdict in words", async () => {
    const html = page(many, await occasion());
    const rows = all(html, /<table><caption>Checks of [\s\S]*?<tbody>([\s\S]*?)<\/tbody>/g);
    const verdicts = rows.map((text) => all(text, /class="verdict [^>]*><span aria-hidden="true">.<\/span> ([^<]*)/g));
    const counted = verdicts.map((own) => [
      own.length,
      ...["wrong", "not checked", "right"].map((verdict) => own.filter((one) => one === verdict).length),
    ]);
    same(
      [all(html, /<h3>([\w ]+?) <span class="summary">/g), counted],
      [
        ["gateway", "Admin API", "etcd", "etcd peers", "upstream", "gateway to upstream"],
        [
          [32, 0, 2, 30],
          [32, 0, 2, 30],
          [16, 1, 1, 14],
          [16, 0, 1, 15],
          [16, 1, 1, 14],
          [16, 0, 1, 15],
        ],
      ],
    );
  });

  it("draws each plane's roots, who signs, and when what ends", async () => {
    const [drawing = ""] = all(page(many, await occasion()), /(<svg[\s\S]*?<\/svg>)/g);
    const texts = all(drawing, /<text[^>]*>([^<]*)/g);
    const roots = [
      "generation 2026: signs, trusted",
      "root ends 2100-01-01, 73 years left",
      "generation 2027: trusted",
    ];
    same(texts.slice(0, 6), ["edge plane", "ClusterIssuer mtls-edge", ...roots, roots[1]]);
    equal(texts.filter((text) => text === "generation 2026: signs, trusted").length, 5);
    same(
      texts.slice(-15).filter((_, at) => at % 3 === 0),
      ["✓ 30 right", "✗ 1 of 32 wrong", "✓ 30 right", "✗ 1 of 16 wrong", "✓ 15 right"],
    );
    same(texts.slice(-2), ["2 leaves: generation 2026", "first: 60 minutes left"]);
    equal(
      all(drawing, /<desc[^>]*>([^<]*?\.) upstream plane/g)[0],
      "edge plane: clients and gateway verify each other against generation 2026 (signs), which ends 2100-01-01 and generation 2027, which ends 2100-01-01. " +
        "The gateway serves a leaf of generation 2026, 60 minutes left. ✓ 30 right.",
    );
  });

  it("says who may call, in the drawing and at the top", async () => {
    const when = await occasion();
    const { clients: _clients, ...open } = when.outputs;
    const shown = (outputs: Occasion["outputs"]) =>
      all(page(few, { ...when, outputs }), /(?:>Clients<\/text>\s*<text [^>]*|<dt>Clients<\/dt><dd)>([^<]*)/g);
    same(
      [shown(when.outputs), shown(open), shown({ ...open, clients: { certificates: [], allowed: [] } })],
      [
        ["mtls/curl, mtls/backup", "mtls/curl, mtls/backup"],
        ["every client", "every client"],
        ["nobody", "nobody"],
      ],
    );
  });

  it("escapes whatever a server, a pod or a stack is called or says", async () => {
    const everywhere = {
      checks: many.checks.map((check) => ({ ...check, case: hostile, expected: hostile, observed: hostile })),
      served: many.served.map((one) => ({
        ...one,
        pod: hostile,
        root: hostile,
        generation: hostile,
        serial: hostile,
        remark: hostile,
      })),
      ...{ ok: false, body: hostile },
    };
    const html = page(everywhere, { ...(await occasion()), stack: hostile });
    same(
      [all(html, /(<script|<img|onerror="|[\0\x1b])/g), html.includes("&lt;script&gt;throw 1&lt;/script&gt;")],
      [[], true],
    );
  });

  it("has links and labels that lead to one place each", async () => {
    const html = page(many, await occasion());
    const ids = all(html, / id="([^"]*)"/g);
    const named = all(html, /(?: href="#| aria-labelledby="|url\(#)([^")]*)/g).flatMap((names) => names.split(" "));
    same(
      [ids.filter((id, at) => ids.indexOf(id) !== at), named.filter((name) => !ids.includes(name)), named.length > 10],
      [[], [], true],
    );
  });

  it("refers to nothing outside itself, and allows itself nothing", async () => {
    const html = page(many, await occasion());
    same(all(html, /(?: (?:href|src|action|srcset)="|url\()([^"#)][^")]*)/g), ["data:,"]);
    equal(
      all(html, /http-equiv="Content-Security-Policy" content="([^"]*)"/g)[0]?.replace(/sha256-[\w+/=]{44}/, "D"),
      "default-src 'none'; style-src 'D'; img-src data:",
    );
    same(all(html, / (style|on\w+)="/g), []);
  });
});

describe("the page's colours", () => {
  const css = readFileSync(join(import.meta.dirname, "../../../../tools/verify/report/page.css"), "utf8");
  const [light = {}, dark = {}] = all(css, /:root \{([\s\S]*?)\}/g).map((block) =>
    Object.fromEntries([...block.matchAll(/--([\w-]+): (#\w{6})/g)].map(([, name = "", value = ""]) => [name, value])),
  );
  const texts: readonly (readonly [text: string, ground: string])[] = [
    ...["text", "soft", "link", "right", "wrong"].flatMap((text) =>
      ["ground", "surface"].map((ground) => [text, ground] as const),
    ),
    ...["right", "wrong", "warning", "unchecked"].map((verdict) => [verdict, `${verdict}-ground`] as const),
    ["text", "wrong-ground"],
    ["soft", "wrong-ground"],
  ];

  for (const [scheme, colours] of [
    ["light", light],
    ["dark", dark],
  ] as const)
    it(`have a contrast of at least 4.5 in the ${scheme} scheme`, () => {
      const faint = texts.filter(([text, ground]) => contrast(colours[text] ?? "", colours[ground] ?? "") < 4.5);
      same(faint, []);
      ok(Object.keys(colours).length > 15);
    });
});

/** WCAG 2.2's contrast ratio of two colours. */
function contrast(one: string, other: string): number {
  const luminance = (colour: string) => {
    const [red = NaN, green = NaN, blue = NaN] = [1, 3, 5].map((at) => {
      const value = parseInt(colour.slice(at, at + 2), 16) / 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [dark = NaN, light = NaN] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  // Not a number fails too.
  return (light + 0.05) / (dark + 0.05) || 0;
}
