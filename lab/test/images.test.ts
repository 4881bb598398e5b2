// Nothing can be pulled in the lab: its images must have the names that the program and its example ask for.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parseConfig } from "../../config.ts";
import { archives, nginxImage } from "../images.ts";

describe("the lab's images", () => {
  it("have the names that the program asks for, except nginx (case 24)", () => {
    const part = "/part";
    const all = archives({ debian: part, pause: part, certmanager: part, approver: part, etcd: part, apisix: part });
    const names = Object.values(all).flatMap(({ images }) => images.map(({ name }) => name));
    const { etcd, apisix } = parseConfig({ trustDomain: "lab.test" }, "dev");
    for (const name of [etcd.image, apisix.image, apisix.renewerImage]) assert.ok(names.includes(name), name);
  });

  it("include the nginx that the example tells users to set there (case 24)", () => {
    const page = readFileSync(join(import.meta.dirname, "../../examples/consumer/README.md"), "utf8");
    assert.match(page, new RegExp(`config set image ${nginxImage}\\b`));
  });
});
