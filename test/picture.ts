// Takes docs/verify.png, the picture of verify's page, anew: `make verify REPORT=out.html`, then `node test/picture.ts out.html`.

import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

import { chromium } from "../lab/chromium.ts";
import { checkout } from "./mocha.ts";
import { Browser } from "./support/browser.ts";

const [file = ""] = process.argv.slice(2);
const { path } = await chromium(console.log);
const browser = await Browser.start(path);
try {
  const page = await browser.open(pathToFileURL(resolve(file)).href);
  await page.view({ width: 1200, height: 1122 });
  writeFileSync(join(checkout, "docs/verify.png"), await page.picture());
} finally {
  await browser.stop();
}
