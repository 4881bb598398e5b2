// Command line: lists where a stack's state has private keys, and fails if one is undeclared. Never prints a key.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";

import { findPrivateKeys } from "../../policy/keySearch.ts";

const usage = `Usage: node test/state/privateKeys.ts [FILE|-] [--stack NAME] [--allow TEXT]...

Looks for private keys in a stack's state, in any encoding, and says where they are.

  FILE             output of \`pulumi stack export --show-secrets\`, - for standard input; without it, that command is run
  -s, --stack NAME stack that is exported
  --allow TEXT     keys are expected in resources whose URN contains TEXT
  -h, --help       this text

Exit code: 0 when no key is where none is expected, 1 when one is, 2 when the state could not be searched.
`;

process.exitCode = main();

function main(): number {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        allow: { type: "string", multiple: true, default: [] },
        stack: { type: "string", short: "s" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values.help) {
      process.stdout.write(usage);
      return 0;
    }
    const state = stateOf(positionals[0], values.stack);
    const keys = findPrivateKeys(state).map((finding) => ({
      ...finding,
      declared: values.allow.some((text) => finding.urn.includes(text)),
    }));
    for (const { urn, path, form, declared } of keys) {
      console.log(`${declared ? "declared" : "PRIVATE KEY"}  ${urn || "(no resource)"}  ${path}  (${form})`);
    }
    const undeclared = keys.filter(({ declared }) => !declared).length;
    const resources = state.deployment.resources.length;
    console.log(
      `${resources} resources, ${keys.length - undeclared} declared and ${undeclared} undeclared private keys`,
    );
    return undeclared > 0 ? 1 : 0;
  } catch (error) {
    console.error((error as Error).message);
    return 2;
  }
}

interface State {
  readonly deployment: { readonly resources: readonly unknown[] };
}

function stateOf(file: string | undefined, stack: string | undefined): State {
  const text = file === undefined ? exported(stack) : readFileSync(file === "-" ? 0 : file, "utf8");
  const state = parsed(text) as Partial<State>;
  if (!Array.isArray(state.deployment?.resources)) {
    throw new Error("This is not a state with resources: give the output of `pulumi stack export --show-secrets`.");
  }
  // Encrypted values cannot be searched, and a search that skips them would prove nothing.
  if (text.includes('"ciphertext"')) {
    throw new Error("The state's secrets are encrypted: export it with `pulumi stack export --show-secrets`.");
  }
  return state as State;
}

function exported(stack: string | undefined): string {
  return execFileSync("pulumi", ["stack", "export", "--show-secrets", ...(stack ? ["--stack", stack] : [])], {
    cwd: resolve(import.meta.dirname, "../.."),
    encoding: "utf8",
    maxBuffer: 1 << 30,
    stdio: ["ignore", "pipe", "inherit"],
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's message would quote the text.
    throw new Error("This is not JSON: give the output of `pulumi stack export --show-secrets`.");
  }
}
