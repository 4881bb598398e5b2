// Nothing can be pulled in the lab: its images must have the names by which the program and its example ask for them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { parseConfig } from "../../config.ts";
import { archives, nginxImage } from "../images.ts";

describe("the lab's images", () => {
  it("have the names that the program asks for, nginx apart", () => {
    const part = "/part";
    const all = archives({ debian: part, pause: part, certmanager: part, etcd: part, apisix: part });
    const names = Object.values(all).flatMap(({ images }) => images.map(({ name }) => name));
    const { etcd, apisix } = parseConfig({ trustDomain: "lab.test" }, "dev");
    for (const name of [etcd.image, apisix.image, apisix.renewerImage]) assert.ok(names.includes(name), name);
  });

  it("include the nginx that the example says to set there", () => {
    const page = readFileSync(join(import.meta.dirname, "../../examples/consumer/README.md"), "utf8");
    assert.match(page, new RegExp(`config set image ${nginxImage}\\b`));
  });
});
