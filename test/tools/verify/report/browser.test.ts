// The report's page in a real browser: what a person sees of it, on a screen, a telephone and paper, and what an accessibility engine says.

import { deepStrictEqual as same } from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import axe from "axe-core";

import { page } from "../../../../tools/verify/report/page.ts";
import { Browser, type Page, type View } from "../../../support/browser.ts";
import { many, occasion } from "../../../support/findings.ts";
import { programPath } from "../../../support/programs.ts";

/** What a server said that would be markup if it were not escaped; what cannot be shown is replaced. */
const shownHostile = `</td><script>throw 1</script><img src=x onerror="throw 2">&amp;' ]]>\ufffd\ufffd[31m\ufffd`;

describe("the report's page in a browser", function () {
  const screen: View = { width: 1280, height: 800 };
  const folder = mkdtempSync(join(tmpdir(), "page-"));
  const url = pathToFileURL(join(folder, "report.html")).href;
  let browser: Browser | undefined;
  let shown: Page;

  before(async function () {
    const chromium = programPath("chromium");
    if (chromium === undefined) {
      console.log("      Chromium is not in the cache: node lab/cli.ts programs .test-programs");
      this.skip();
    }
    writeFileSync(join(folder, "report.html"), page(many, await occasion()));
    browser = await Browser.start(chromium);
    shown = await browser.open(url);
  });
  after(async () => {
    await browser?.stop();
    rmSync(folder, { recursive: true });
  });

  it("shows the verdict and what is wrong at first sight, and loads and runs nothing", async () => {
    await shown.view(screen);
    const seen = await shown.evaluate(`(() => {
      const wrongs = [...document.querySelectorAll("main .wrongs li")];
      const { width, height } = document.querySelector("svg").getBoundingClientRect();
      return {
        title: document.title,
        heading: document.querySelector("h1").innerText,
        first: document.querySelector("main h2").innerText,
        wrongs: wrongs.map((wrong) => wrong.querySelector("h3").innerText),
        inSight: wrongs[0].getBoundingClientRect().bottom < innerHeight,
        drawn: width > 500 && height > 300,
        rows: [...document.querySelectorAll(".hop tbody tr")].filter((row) => row.getBoundingClientRect().height > 0).length,
        hostile: document.querySelector(".wrongs div:last-child dd").innerText,
        scripts: document.scripts.length + document.images.length,
      };
    })()`);
    same(
      { seen, requests: shown.requests, messages: shown.messages },
      {
        seen: {
          title: "2 wrong: dev, 2026-11-26",
          heading: "✗ 2 wrong",
          first: "What is wrong",
          wrongs: ["etcd: expired certificate, TLS 1.3 T3", "upstream: certificate of the admin plane, TLS 1.3 T6"],
          ...{ inSight: true, drawn: true, rows: many.checks.length },
          hostile: shownHostile,
          scripts: 0,
        },
        requests: [url],
        messages: [],
      },
    );
  });

  it("draws the graph without one text over another, or beyond the drawing", async () => {
    await shown.view(screen);
    const clashes = await shown.evaluate(`(() => {
      const drawing = document.querySelector("svg").getBoundingClientRect();
      const texts = [...document.querySelectorAll("svg text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
      const within = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom - 2 && b.top < a.bottom - 2;
      const boxes = [...document.querySelectorAll("svg .party")].map((box) => box.getBoundingClientRect());
      return texts.flatMap(([text, a], at) => [
        ...texts.slice(at + 1).filter(([, b]) => within(a, b)).map(([other]) => text + " / " + other),
        ...boxes.filter((b) => within(a, b) && (a.left < b.left || a.right > b.right)).map(() => text + " / box"),
        ...(a.left < drawing.left || a.right > drawing.right || a.bottom > drawing.bottom ? [text + " / edge"] : []),
      ]);
    })()`);
    same(clashes, []);
  });

  it("fits on a telephone, and prints every row", async () => {
    const wide = `document.documentElement.scrollWidth > innerWidth`;
    await shown.view({ width: 390, height: 800 });
    const telephone = await shown.evaluate(wide);
    await shown.view({ width: 1080, height: 760, media: "print" });
    const cut = `[...document.querySelectorAll(".scroll")].filter((box) => box.scrollWidth > box.clientWidth).map((box) => box.ariaLabel)`;
    same({ telephone, cut: await shown.evaluate(cut) }, { telephone: false, cut: [] });
  });

  for (const scheme of ["light", "dark"] as const)
    for (const width of [1280, 390])
      it(`has nothing to complain of for an accessibility engine, ${scheme}, ${width} pixels wide`, async () => {
        await shown.view({ ...screen, width, scheme });
        await shown.evaluate(axe.source);
        const violations = await shown.evaluate(
          `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)]))`,
        );
        same(violations, []);
      });
});
