// Turns `pulumi preview --json` into a comment that a reviewer reads in half a minute: which components change and how, with a
// warning where trust would be lost. It shows names of resources and properties only; no value leaves the preview.

import { readFile } from "node:fs/promises";
import { text } from "node:stream/consumers";
import { parseArgs, stripVTControlCharacters } from "node:util";

import { readUrn } from "../../urn.ts";

/** The part of the CLI's output that is used. */
export interface PreviewResult {
  readonly steps?: readonly Step[];
  readonly diagnostics?: readonly Diagnostic[] | null;
  /** Present only if the preview finished. */
  readonly changeSummary?: unknown;
}

interface Diagnostic {
  /** `info#err` is what the program or a plugin wrote to its standard error. */
  readonly severity: string;
  readonly message: string;
}

export interface Step {
  readonly op: string;
  readonly urn: string;
  readonly oldState?: State;
  readonly newState?: State;
  /** Changes by the path of the property. */
  readonly detailedDiff?: Readonly<Record<string, unknown>> | null;
}

export interface State {
  readonly type: string;
  readonly parent?: string;
  /** Whether it stays in the cluster when Pulumi drops it from the state. */
  readonly retainOnDelete?: boolean;
  readonly inputs?: Readonly<Record<string, unknown>>;
}

/** What can happen to a resource, in the order of the table. */
const verbs = ["create", "update", "replace", "delete"] as const;
type Verb = (typeof verbs)[number];

/** A replacement takes three steps; reads and refreshes change nothing. */
const verbOf: Readonly<Record<string, Verb>> = {
  create: "create",
  import: "create",
  update: "update",
  replace: "replace",
  "create-replacement": "replace",
  "delete-replaced": "replace",
  delete: "delete",
};

interface Change {
  readonly verb: Verb;
  readonly name: string;
  readonly type: string;
  /** The top-level component that contains the resource, or the resource itself. */
  readonly component: string;
  readonly paths: readonly string[];
  readonly authority: boolean;
}

/** GitHub allows 65,536 characters. */
const mostListed = 200;
const mostPaths = 4;
const longestMessage = 4_000;

/** First line of the comment, by which a later run finds its stack's comment. */
export function marker(stack: string): string {
  return `<!-- mtls-everywhere preview of ${stack.replaceAll(/[^\w./-]/g, "-")} -->`;
}

/** The comment, in GitHub's Markdown. */
export function previewComment(preview: PreviewResult, stack: string): string {
  const failure = failureOf(preview);
  const changes = changesOf(preview.steps ?? []);
  const parts = [
    marker(stack),
    `### Preview of ${code(stack)}: ${failure === undefined ? counted(changes) : "failed"}`,
    ...(failure === undefined ? [] : [fenced(failure)]),
    ...warnings(changes),
    ...(changes.length > 0 ? [table(changes), listing(changes)] : []),
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Why the preview failed; undefined if it succeeded. */
function failureOf({ diagnostics, changeSummary }: PreviewResult): string | undefined {
  const said = (severity: string) =>
    (diagnostics ?? [])
      .filter((diagnostic) => diagnostic.severity === severity)
      .map(({ message }) => stripVTControlCharacters(message).trim())
      .filter((message) => message !== "");
  const errors = said("error");
  if (errors.length > 0) return errors.join("\n\n");
  if (changeSummary !== undefined) return undefined;
  return said("info#err").join("\n") || "pulumi preview did not finish; see its output for the reason.";
}

function changesOf(steps: readonly Step[]): Change[] {
  const states = new Map(steps.map((step) => [step.urn, step.newState ?? step.oldState]));
  const changes = new Map<string, Change>();
  for (const { op, urn, newState, oldState, detailedDiff } of steps) {
    const verb = verbOf[op];
    const state = newState ?? oldState;
    if (verb === undefined || state === undefined || state.type === "pulumi:pulumi:Stack") continue;
    const known = changes.get(urn);
    changes.set(urn, {
      verb,
      name: readUrn(urn).name,
      type: kindOf(state.type),
      component: readUrn(topOf(urn, states)).name,
      paths: [...new Set([...(known?.paths ?? []), ...Object.keys(detailedDiff ?? {})])],
      authority: isAuthority(oldState ?? state),
    });
  }
  return [...changes.values()];
}

/** The ancestor directly under the stack. */
function topOf(urn: string, states: ReadonlyMap<string, State | undefined>): string {
  const parent = states.get(urn)?.parent;
  const atTop = parent === undefined || readUrn(parent).types.at(-1) === "pulumi:pulumi:Stack";
  return atTop ? urn : topOf(parent, states);
}

/** Whether others trust this or get their certificates from it. Intermediates do not count: they are renewed routinely. */
function isAuthority({ type, inputs, retainOnDelete = false }: State): boolean {
  if (retainOnDelete) return false;
  if (/^kubernetes:cert-manager\.io\/v1:(Cluster)?Issuer$/.test(type)) return true;
  if (type === "kubernetes:cert-manager.io/v1:Certificate") {
    return (inputs?.["spec"] as { isCA?: unknown } | undefined)?.isCA === true;
  }
  return [
    // What authorities' keys lie in, and who signs with them: cert-manager is the only release.
    "kubernetes:core/v1:Namespace",
    "kubernetes:helm.sh/v3:Release",
    "mtls:platform:CertificateAuthority",
    "tls:index/privateKey:PrivateKey",
    "tls:index/selfSignedCert:SelfSignedCert",
  ].includes(type);
}

function warnings(changes: readonly Change[]): string[] {
  const lost = changes.filter(({ verb, authority }) => authority && (verb === "delete" || verb === "replace"));
  if (lost.length === 0) return [];
  return [
    [
      "> [!WARNING]",
      "> **Certificate authorities would be lost.** Everything they signed must be reissued, and everyone who trusts them must trust their successors first.",
      ...lost.map(({ verb, name, type }) => `> - ${code(name)} (${type}) would be ${verb}d`),
    ].join("\n"),
  ];
}

function counted(changes: readonly Change[]): string {
  const counts = verbs.flatMap((verb) => {
    const count = changes.filter((change) => change.verb === verb).length;
    return count > 0 ? [`${count} to ${verb}`] : [];
  });
  return counts.join(", ") || "no changes";
}

function table(changes: readonly Change[]): string {
  const components = [...new Set(changes.map(({ component }) => component))].sort();
  const rows = components.map((component) => {
    const cells = verbs.map(
      (verb) => changes.filter((change) => change.component === component && change.verb === verb).length || "",
    );
    return `| ${code(component)} | ${cells.join(" | ")} |`;
  });
  return [`| component | ${verbs.join(" | ")} |`, `| --- |${" ---: |".repeat(verbs.length)}`, ...rows].join("\n");
}

function listing(changes: readonly Change[]): string {
  const order = (change: Change) => `${verbs.length - verbs.indexOf(change.verb)}${change.component}\0${change.name}`;
  const sorted = [...changes].sort((a, b) => (order(a) < order(b) ? -1 : 1));
  const lines = sorted.slice(0, mostListed).map(({ verb, name, type, paths }) => {
    const shown = paths.slice(0, mostPaths).map(code).join(", ");
    const more = paths.length > mostPaths ? ` and ${paths.length - mostPaths} more` : "";
    return `- ${verb} ${code(name)} (${type})${shown && `: ${shown}${more}`}`;
  });
  const left = sorted.length - lines.length;
  return [
    "<details><summary>All changes</summary>",
    "",
    ...lines,
    ...(left > 0 ? [`- and ${left} more`] : []),
    "",
    "</details>",
  ].join("\n");
}

/** `kubernetes:apps/v1:Deployment` -> `Deployment`. */
function kindOf(type: string): string {
  return type.replace(/^.*[:/]/, "");
}

/** In backticks, whatever the text contains. */
function code(words: string): string {
  return `\`${words.replaceAll(/[`|\r\n]/g, "_")}\``;
}

function fenced(words: string): string {
  const cut = words.length > longestMessage ? `${words.slice(0, longestMessage)}…` : words;
  const fence = "`".repeat(Math.max(3, ...[...cut.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return `${fence}text\n${cut}\n${fence}`;
}

const usage = `Usage: pulumi preview --json --show-sames | node tools/preview/comment.ts --stack NAME [--file FILE]

Prints a summary of the preview as GitHub Markdown. --show-sames is needed to tell which component a changed resource is in.
The first line is a marker by which a later run finds the comment.
`;

if (import.meta.main) {
  const { values } = parseArgs({
    options: { stack: { type: "string" }, file: { type: "string" }, help: { type: "boolean", short: "h" } },
  });
  if (values.help || values.stack === undefined) {
    process.stdout.write(usage);
    process.exitCode = values.help ? 0 : 2;
  } else {
    const answer = values.file === undefined ? await text(process.stdin) : await readFile(values.file, "utf8");
    process.stdout.write(previewComment(parsed(answer), values.stack));
  }
}

/** Parses the output, skipping what the CLI and its plugins print around the JSON. Unreadable output is not quoted: it may hold secrets. */
function parsed(answer: string): PreviewResult {
  for (const { index } of answer.matchAll(/^\{/gm)) {
    for (const end of [answer.length, answer.lastIndexOf("\n}") + 2]) {
      try {
        return JSON.parse(answer.slice(index, Math.max(index, end))) as PreviewResult;
      } catch {
        // A line that merely starts like JSON, or text after it.
      }
    }
  }
  const message =
    answer.trim() === ""
      ? "pulumi preview printed nothing; see the run's log for the reason."
      : "pulumi preview did not print JSON; its output is in the run's log.";
  return { diagnostics: [{ severity: "error", message }] };
}
