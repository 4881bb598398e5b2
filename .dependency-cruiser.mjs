// Who may import whom: one direction for every folder, no circle anywhere, types included. CONTRIBUTING's tree says the same, and a test compares them.

/**
 * A line may import from those below it, never from those above. A file belongs to the longest line that it begins with; one that
 * belongs to none is refused, so that a new folder is given its place here.
 */
export const lines = [
  // What stands on all of the product.
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
  "tools/verify/",
  "tools/",
  "index.ts",
  "consume.ts",
  "config.ts",
  "outputs.ts",
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

/** The only import against the direction: states of release 0.1.0 hold code that finds the life cycles by this file's name. */
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
      "A line of CONTRIBUTING's tree imports from those below it alone: move what is shared down, or hand it over as an argument.",
      { path: pathOf(line), pathNot: [...within(line), oldName.path] },
      { path: lines.slice(0, index + 1).map(pathOf) },
    ),
  );

export default {
  forbidden: [
    ...upwards,
    rule(
      "upwards from apisix-admin/resources.ts",
      "It hands the life cycles on to states of release 0.1.0, and does nothing else.",
      { path: oldName.path },
      { path: lines.slice(0, lines.indexOf("apisix-admin/")).map(pathOf), pathNot: oldName.may },
    ),
    rule(
      "beside zod in the vocabulary",
      "Everything imports the vocabulary, the gateway's renewer too: it imports nothing but zod.",
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
    // Types that are erased count too.
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    doNotFollow: { path: "node_modules" },
    exclude: { path: ["^\\.", "^coverage/", "^eslint\\.config\\.js$", "^renewer/bundle\\.cjs$"] },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
