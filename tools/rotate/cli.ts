// Command line for rotations: shows where one stands and what comes next, and reissues leaves on demand.

import { parseArgs } from "node:util";

import type { Cluster } from "@mtls-everywhere/cluster-access/cluster";

import type { PlatformOutputs } from "../../outputs.ts";
import { issuerOf } from "../../rotation/leaves.ts";
import { Lists } from "../../rotation/lists.ts";
import { statusOf } from "../../rotation/phase.ts";
import { RotationReader } from "../../rotation/reader.ts";
import { platformOf } from "../verify/outputs.ts";
import { type CertificateName, Renewer } from "./renew.ts";
import { render } from "./report.ts";

const usage = `Usage: node tools/rotate/cli.ts status [--stack NAME] [--context NAME] [--json]
       node tools/rotate/cli.ts renew [[NAMESPACE/]NAME ...] [--all] [--stack NAME] [--context NAME] [--json]

status  shows, for every plane, its generations of roots, which one signs, who trusts each, which leaves belong to each and
        what the servers serve; then the phase of the rotation and the next step. It changes nothing.
renew   has leaves reissued, as cmctl renew does: the old one stays in its Secret until the new one is there. NAME is that
        of a Certificate, in the platform's namespace unless another is given.

  -s, --stack NAME    the stack; defaults to the selected one
  --context NAME      kubeconfig context; defaults to the stack's kubernetes:context, else to the current context
  --all               every leaf in the platform's namespace
  --json              print the result as JSON
  -h, --help          show this text

Exit code: 0 on success, 1 if a leaf was not issued, 2 if the command is wrong or the platform could not be read.
`;

process.exit(await main());

async function main(): Promise<number> {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        stack: { type: "string", short: "s" },
        context: { type: "string" },
        all: { type: "boolean" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    const [command, ...names] = positionals;
    const known = command === "status" ? names.length === 0 : command === "renew" && names.length > 0 !== !!values.all;
    if (values.help || !known) {
      process[values.help ? "stdout" : "stderr"].write(usage);
      return values.help ? 0 : 2;
    }
    const { stack, context } = values;
    const { outputs, cluster } = await platformOf(stack, context);
    return command === "status"
      ? await status(cluster, outputs, stack, values.json ?? false)
      : await renew(cluster, outputs, names, values.json ?? false);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

async function status(
  cluster: Cluster,
  outputs: PlatformOutputs,
  stack: string | undefined,
  json: boolean,
): Promise<number> {
  const { namespace, generations, gateway } = outputs;
  if (generations === undefined) {
    throw new Error(
      `The platform was last updated by a release without generations of roots. Run pulumi up${stack ? ` -s ${stack}` : ""} first.`,
    );
  }
  const { founder } = generations;
  const reader = new RotationReader(cluster, {
    namespace,
    founder,
    host: gateway.serverName,
    admin: () => outputs.admin,
  });
  const own = await reader.ownBundles();
  const since: Record<string, Date> = {};
  for (const roots of Object.values(own.certificates)) {
    for (const [name, [root]] of Object.entries(roots)) if (root) since[name] = root.validFromDate;
  }
  const found = statusOf(await reader.live(own), namespace, since);
  process.stdout.write(json ? `${JSON.stringify(found, undefined, 2)}\n` : render(found, stack ?? "<stack>"));
  return 0;
}

async function renew(
  cluster: Cluster,
  outputs: PlatformOutputs,
  names: readonly string[],
  json: boolean,
): Promise<number> {
  const all = names.length > 0 ? names.map((name) => parsed(name, outputs.namespace)) : await leaves(cluster, outputs);
  const renewer = new Renewer(cluster.config);
  const renewals = await Promise.all(all.map((one) => renewer.renew(one)));
  if (json) process.stdout.write(`${JSON.stringify(renewals, undefined, 2)}\n`);
  for (const renewal of json ? [] : renewals) {
    const end = "failure" in renewal ? renewal.failure : `reissued, revision ${renewal.revision}`;
    process.stdout.write(`${renewal.namespace}/${renewal.name}: ${end}\n`);
  }
  return renewals.some((renewal) => "failure" in renewal) ? 1 : 0;
}

/** Every leaf in the platform's namespace, but no roots: those keep their keys. */
async function leaves(cluster: Cluster, outputs: PlatformOutputs): Promise<readonly CertificateName[]> {
  const issuers = { namespace: outputs.namespace, founder: outputs.generations?.founder ?? "1" };
  const certificates = await new Lists(cluster.config).certificates(outputs.namespace);
  return certificates.filter((certificate) => issuerOf(issuers, certificate)).map(({ metadata }) => metadata);
}

function parsed(text: string, namespace: string): CertificateName {
  const [first = "", second] = text.split("/");
  return second === undefined ? { namespace, name: first } : { namespace: first, name: second };
}
