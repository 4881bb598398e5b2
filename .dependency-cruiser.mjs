// Who may import whom: one direction for every folder and no cycles, types included. A test compares this with CONTRIBUTING's tree.

/**
 * A line may import from those below it, never from those above. A file belongs to the longest line that its path starts with;
 * a file that belongs to none is refused, so that new folders are given a place here.
 */
export const lines = [
  // What builds on the product.
  "lab/test/",
  "test/",
  "lab/",
  "docs/api/",
  "examples/",
  // The product.
  "tools/roles/",
  "tools/preview/",
  "tools/release/",
  "tools/recover/",
  "tools/rotate/",
  "tools/etcd/",
  "tools/verify/",
  "tools/",
  "index.ts",
  "consume.ts",
  "config.ts",
  "outputs.ts",
  "progress/",
  "neighbours/",
  "rotation/",
  "components/site.ts",
  "components/gateway/",
  "components/",
  "renewer/",
  "policy/",
  "dynamic-resources/",
  "apisix-admin/",
  "cluster-access/",
  "urn.ts",
  "vocabulary/",
];

/** The only upward import: states of release 0.1.0 hold code that finds the life cycles by this file's name. */
const oldName = { path: "^apisix-admin/resources\\.ts$", may: "^dynamic-resources/" };

const pathOf = (line) => `^${line.replaceAll(".", "\\.")}${line.endsWith("/") ? "" : "$"}`;
const within = (line) => lines.filter((other) => other !== line && other.startsWith(line)).map(pathOf);

/** @type {(name: string, comment: string, from: object, to: object) => import("dependency-cruiser").IForbiddenRuleType} */
const rule = (name, comment, from, to) => ({ name, comment, severity: "error", from, to });

const upwards = lines
  .slice(1)
  .map((line, index) =>
    rule(
      `upwards from ${line}`,
      "A line of CONTRIBUTING's tree imports only from those below it: move what is shared down, or pass it as an argument.",
      { path: pathOf(line), pathNot: [...within(line), oldName.path] },
      { path: lines.slice(0, index + 1).map(pathOf) },
    ),
  );

export default {
  forbidden: [
    ...upwards,
    rule(
      "upwards from apisix-admin/resources.ts",
      "It only passes the life cycles on to states of release 0.1.0.",
      { path: oldName.path },
      { path: lines.slice(0, lines.indexOf("apisix-admin/")).map(pathOf), pathNot: oldName.may },
    ),
    rule(
      "beside zod in the vocabulary",
      "Everything imports the vocabulary, even the gateway's renewer, so it imports nothing but zod.",
      { path: pathOf("vocabulary/") },
      { pathNot: [pathOf("vocabulary/"), "^node_modules/zod/"] },
    ),
    rule("circle", "Move what both need into a third file, below them.", {}, { circular: true }),
    rule(
      "nowhere",
      "Give it a line in .dependency-cruiser.mjs and in CONTRIBUTING's tree.",
      { pathNot: lines.map(pathOf) },
      {},
    ),
  ],
  options: {
    // Erased types count too.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    exclude: { path: ["^\\.", "^coverage/", "^dist/", "^eslint\\.config\\.js$", "^renewer/bundle\\.cjs$"] },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
