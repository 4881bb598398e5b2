// index.ts with a second host and its own upstream, as a user would add it: with two statements.

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";

const checkout = resolve(import.meta.dirname, "../..");

/** The second site's host, and what it answers. */
export const second = { host: "orders.example", body: '{ "orders": [] }' } as const;

const statements = `
const orders = new NginxUpstream(
  "orders",
  { ...common, ...env.upstream, files: { "index.json": '${second.body}' }, authority: pki.upstream, gateway: apisix },
  inNamespace,
);
new Site(
  "orders",
  {
    ...{ gateway: apisix, host: "${second.host}", edge: pki.edge, namespace: env.namespace },
    allow: [{ namespace: env.namespace, serviceAccount: "curl" }],
    routes: { orders: { service: orders.upstream } },
  },
  inNamespace,
);
`;

/** Writes the program, next to the project file, into a folder in the checkout. Returns the program's path. */
export function writeSecondSite(folder: string): string {
  mkdirSync(folder, { recursive: true });
  const upwards = relative(folder, checkout);
  const text = readFileSync(join(checkout, "index.ts"), "utf8");
  const outputs = text.indexOf("\n// For other stacks");
  if (outputs < 0) throw new Error("index.ts has no outputs where they are expected.");
  const program = (text.slice(0, outputs) + statements + text.slice(outputs)).replaceAll(
    'from "./',
    `from "${upwards}/`,
  );
  writeFileSync(join(folder, "index.ts"), program);
  writeFileSync(join(folder, "Pulumi.yaml"), readFileSync(join(checkout, "Pulumi.yaml")));
  return join(folder, "index.ts");
}
