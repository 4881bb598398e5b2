// The files that a report is written to.

import { deepStrictEqual as same } from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { json, reportFiles, writeReports } from "../../../../tools/verify/report/files.ts";
import { junit } from "../../../../tools/verify/report/junit.ts";
import { page } from "../../../../tools/verify/report/page.ts";
import { few, occasion } from "../../../support/findings.ts";

describe("the report's files", () => {
  const folder = mkdtempSync(join(tmpdir(), "report-"));
  after(() => rmSync(folder, { recursive: true }));

  it("have the form that their names say", async () => {
    const names = ["out.xml", "out.json", "OUT.HTML"].map((name) => join(folder, name));
    const when = await occasion();
    await writeReports(await reportFiles(names), few, when);
    same(
      names.map((name) => readFileSync(name, "utf8")),
      [junit(few, when), json(few, when), page(few, when)],
    );
    same(JSON.parse(json(few, when)), { stack: "dev", ...few });
  });

  it("are none if none is asked for", async () => {
    same(await reportFiles([]), []);
  });
});
